/// Texts of a column in one arena of UTF-8 bytes, no object a text.
public struct TextColumn: Sendable, Hashable {
    /// Where each text starts in `bytes`, and where the last one ends: one more than there are rows.
    public private(set) var offsets: [Int64]
    public private(set) var bytes: [UInt8]
    /// Whether a row has a text; nil: all have.
    public private(set) var isValid: [Bool]?

    public init() {
        offsets = [0]
        bytes = []
    }

    public init(_ texts: some Sequence<String?>) {
        self.init()
        for text in texts { append(text) }
    }

    public init(_ texts: some Sequence<String>) {
        self.init()
        for text in texts { append(text) }
    }

    /// A column of `count` nulls.
    static func nulls(_ count: Int) -> TextColumn {
        TextColumn(
            offsets: Array(repeating: 0, count: count + 1), bytes: [],
            isValid: Array(repeating: false, count: count))
    }

    init(offsets: [Int64], bytes: [UInt8], isValid: [Bool]?) {
        self.offsets = offsets
        self.bytes = bytes
        self.isValid = isValid
    }

    public var count: Int { offsets.count - 1 }

    /// An upper bound of the bytes of one row: exact where it passes 32 bits.
    var longestBytes: Int64 {
        // Only what is that long together can hold one that is.
        if bytes.count <= Int32.max { return Int64(bytes.count) }
        return (0..<count).reduce(0) { max($0, offsets[$1 + 1] - offsets[$1]) }
    }

    /// Nil for null. Bytes that are no UTF-8 are replaced by U+FFFD.
    public subscript(row: Int) -> String? {
        withBytes(row) { bytes in bytes.map { String(decoding: $0, as: UTF8.self) } }
    }

    /// The UTF-8 bytes of a row, nil for null; valid during the call.
    public func withBytes<R>(_ row: Int, _ body: (UnsafeBufferPointer<UInt8>?) throws -> R) rethrows -> R {
        if let isValid, !isValid[row] { return try body(nil) }
        return try bytes.withUnsafeBufferPointer {
            try body(UnsafeBufferPointer(rebasing: $0[Int(offsets[row])..<Int(offsets[row + 1])]))
        }
    }

    /// Visits the UTF-8 bytes of each row, nil for null; valid during the call. Quicker than row by row.
    public func visit(_ body: (_ row: Int, UnsafeBufferPointer<UInt8>?) throws -> Void) rethrows {
        try bytes.withUnsafeBufferPointer { bytes in
            try offsets.withUnsafeBufferPointer { offsets in
                for row in 0..<count {
                    if let isValid, !isValid[row] {
                        try body(row, nil)
                    } else {
                        let range = Int(offsets[row])..<Int(offsets[row + 1])
                        try body(row, UnsafeBufferPointer(rebasing: bytes[range]))
                    }
                }
            }
        }
    }

    public mutating func append(_ text: String?) {
        guard var text else { return append(utf8: nil) }
        text.withUTF8 { append(utf8: $0) }
    }

    /// Nil is null.
    public mutating func append(utf8 text: UnsafeBufferPointer<UInt8>?) {
        if text == nil, isValid == nil { isValid = Array(repeating: true, count: count) }
        isValid?.append(text != nil)
        if let text { bytes.append(contentsOf: text) }
        offsets.append(Int64(bytes.count))
    }

    mutating func append(_ other: TextColumn, rows: Range<Int>) {
        if other.isValid != nil, isValid == nil { isValid = Array(repeating: true, count: count) }
        isValid?.append(
            contentsOf: other.isValid.map { $0[rows] } ?? ArraySlice(repeating: true, count: rows.count))
        let start = other.offsets[rows.lowerBound]
        let shift = Int64(bytes.count) - start
        offsets.append(
            contentsOf: other.offsets[rows.lowerBound + 1..<rows.upperBound + 1].lazy.map { $0 + shift })
        bytes.append(contentsOf: other.bytes[Int(start)..<Int(other.offsets[rows.upperBound])])
    }

    mutating func removeAll() {
        offsets.removeSubrange(1...)
        bytes.removeAll(keepingCapacity: true)
        isValid = nil
    }
}

/// Values of a column of which some may be null.
public struct NullableColumn<Value: Sendable & Hashable>: Sendable, Hashable {
    /// One a row; meaningless where the row is null.
    public let values: [Value]
    /// Whether a row has a value; nil: all have.
    public let isValid: [Bool]?

    /// - Precondition: `isValid` has an entry for each value.
    public init(_ values: [Value], isValid: [Bool]? = nil) {
        precondition(isValid.map { $0.count == values.count } ?? true, "one flag a value")
        self.values = values
        self.isValid = isValid
    }

    public init(_ values: some Sequence<Value?>, nullAs placeholder: Value) {
        let values = Array(values)
        self.init(
            values.map { $0 ?? placeholder }, isValid: values.contains(nil) ? values.map { $0 != nil } : nil)
    }

    public var count: Int { values.count }

    public subscript(row: Int) -> Value? {
        if let isValid, !isValid[row] { nil } else { values[row] }
    }
}

/// What a column of a written file holds.
public enum ColumnType: Sendable, Hashable {
    case text
    /// 64-bit floating point.
    case real
    /// 64 bits, signed.
    case integer
    /// Milliseconds since 1970 UTC; never null.
    case timestampMilliseconds
    case boolean
}
