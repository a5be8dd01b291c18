/// One argument, for commands that are written out in the code.
public enum RedisArgument: Sendable, Hashable, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral {
    case text(String)
    case bytes([UInt8])
    case integer(Int)

    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
}

/// The arguments of a command, in one stretch of bytes that is already in the protocol's form.
///
/// Appending allocates nothing but the stretch, which grows to what is needed and is kept by
/// `removeAll(keepingCapacity: true)`: thousands of keys and values cost no array each. Binary-safe.
public struct RedisArguments: Sendable, Hashable, ExpressibleByArrayLiteral {
    public private(set) var count = 0
    /// `$3\r\nkey\r\n`, one after the other.
    private(set) var wire: [UInt8] = []

    public init() {}

    public init(_ arguments: [RedisArgument]) {
        for argument in arguments { append(argument) }
    }

    public init(arrayLiteral arguments: RedisArgument...) { self.init(arguments) }

    public mutating func append(_ argument: RedisArgument) {
        switch argument {
        case .text(let text): append(text)
        case .bytes(let bytes): bytes.withUnsafeBytes { append($0) }
        case .integer(let number): append(String(number))
        }
    }

    /// Appends `text` in UTF-8.
    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends a copy of `bytes`.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        append(prefix: UnsafeRawBufferPointer(start: nil, count: 0), bytes)
    }

    /// Appends one argument made of two parts, such as a key's prefix and an id.
    public mutating func append(prefix: StaticString, _ bytes: UnsafeRawBufferPointer) {
        let prefixBytes = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        append(prefix: UnsafeRawBufferPointer(prefixBytes), bytes)
    }

    /// Appends one argument made of two parts, such as a key's prefix and an id.
    public mutating func append(prefix: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer) {
        let count = prefix.count + bytes.count
        let digitCount = count.decimalDigitCount
        let size = 1 + digitCount + 2 + count + 2
        // One growth and one check an argument: piece by piece it takes twice as long.
        wire.append(addingCapacity: size) { span in
            span.withUnsafeMutableBufferPointer { buffer, initializedCount in
                let target = UnsafeMutableRawBufferPointer(buffer)
                target[0] = UInt8(ascii: "$")
                target.storeDecimal(count, digitCount: digitCount, at: 1)
                target.storeLineEnd(at: 1 + digitCount)
                var position = 3 + digitCount
                UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: prefix)
                position += prefix.count
                UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: bytes)
                target.storeLineEnd(at: size - 2)
                initializedCount = size
            }
        }
        self.count += 1
    }

    public mutating func append(contentsOf other: RedisArguments) {
        wire.append(contentsOf: other.wire)
        count += other.count
    }

    /// Removes the arguments; keeping the capacity makes the next use allocate nothing.
    public mutating func removeAll(keepingCapacity: Bool = false) {
        wire.removeAll(keepingCapacity: keepingCapacity)
        count = 0
    }
}

extension Int {
    /// How many digits a number has that is not negative.
    fileprivate var decimalDigitCount: Int {
        var count = 1
        var limit = 10
        while self >= limit, count < 19 {
            count += 1
            limit &*= 10
        }
        return count
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func storeDecimal(_ number: Int, digitCount: Int, at offset: Int) {
        var rest = UInt(bitPattern: number)
        for index in stride(from: offset + digitCount - 1, through: offset, by: -1) {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            self[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit)
            rest = quotient
        }
    }

    fileprivate func storeLineEnd(at offset: Int) {
        self[offset] = UInt8(ascii: "\r")
        self[offset + 1] = UInt8(ascii: "\n")
    }
}

extension [UInt8] {
    /// Appends the line that opens a command of so many arguments.
    mutating func appendCommandHeader(argumentCount: Int) {
        append(contentsOf: "*\(argumentCount)\r\n".utf8)
    }
}
