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
        appendLength(bytes.count)
        wire.append(contentsOf: bytes)
        appendLineEnd()
    }

    /// Appends one argument made of two parts, such as a key's prefix and an id.
    public mutating func append(prefix: StaticString, _ bytes: UnsafeRawBufferPointer) {
        let prefixBytes = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        append(prefix: UnsafeRawBufferPointer(prefixBytes), bytes)
    }

    /// Appends one argument made of two parts, such as a key's prefix and an id.
    public mutating func append(prefix: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer) {
        appendLength(prefix.count + bytes.count)
        wire.append(contentsOf: prefix)
        wire.append(contentsOf: bytes)
        appendLineEnd()
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

    private mutating func appendLength(_ length: Int) {
        wire.append(UInt8(ascii: "$"))
        wire.appendDecimal(length)
        wire.append(UInt8(ascii: "\r"))
        wire.append(UInt8(ascii: "\n"))
    }

    private mutating func appendLineEnd() {
        wire.append(UInt8(ascii: "\r"))
        wire.append(UInt8(ascii: "\n"))
        count += 1
    }
}

extension [UInt8] {
    /// Appends a number that is not negative, without making a string of it.
    mutating func appendDecimal(_ number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }

    /// Appends the line that opens a command of so many arguments.
    mutating func appendCommandHeader(argumentCount: Int) {
        append(UInt8(ascii: "*"))
        appendDecimal(argumentCount)
        append(UInt8(ascii: "\r"))
        append(UInt8(ascii: "\n"))
    }
}
