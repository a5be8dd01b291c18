/// Transactions as columns: no object per record, and the text of all rows in one arena of UTF-8 bytes.
///
/// A value: copies are independent. A batch holds less than 4 GiB of text.
public struct TransactionBatch: Sendable {
    /// Event time, milliseconds since 1970 UTC.
    public var timestampMilliseconds: [Int64] = []
    /// Finite.
    public var amount: [Double] = []
    /// Degrees; NaN: missing.
    public var latitude: [Double] = []
    /// Degrees; NaN: missing.
    public var longitude: [Double] = []
    /// Which message of the parsed batch a row came from.
    public var messageIndex: [Int32] = []

    /// `count x 8`: a row's texts in the order of `TextField`.
    @usableFromInline var spans: [TextSpan] = []
    /// `count x 8`, likewise; 0: missing.
    @usableFromInline var hashes: [UInt64] = []
    @usableFromInline var arena: [UInt8] = []

    public init() {}

    public var count: Int { messageIndex.count }

    /// A row's text; nil when it is missing.
    public func text(_ field: TextField, _ row: Int) -> String? {
        withText(field, row) { bytes in bytes.map { String(decoding: $0, as: UTF8.self) } }
    }

    /// Lends a row's UTF-8 bytes to `body`; nil when the text is missing.
    @inlinable
    public func withText<Result>(
        _ field: TextField, _ row: Int, _ body: (UnsafeBufferPointer<UInt8>?) throws -> Result
    ) rethrows -> Result {
        let span = spans[row * TextField.count + field.rawValue]
        if span.isMissing { return try body(nil) }
        return try arena.withUnsafeBufferPointer { bytes in
            try body(UnsafeBufferPointer(rebasing: bytes[span.range]))
        }
    }

    /// `TextHash` of a row's text; 0 when it is missing.
    @inlinable
    public func hash(_ field: TextField, _ row: Int) -> UInt64 {
        hashes[row * TextField.count + field.rawValue]
    }

    /// Appends one record, with `messageIndex` its row. Nothing is checked.
    public mutating func append(_ transaction: Transaction) {
        append(
            timestampMilliseconds: transaction.timestampMilliseconds, amount: transaction.amount,
            latitude: transaction.latitude ?? .nan, longitude: transaction.longitude ?? .nan
        ) { field, add in
            guard var text = transaction[field] else { return }
            text.withUTF8(add)
        }
    }

    /// Appends one record without making strings, for readers of columns. Nothing is checked.
    ///
    /// - Parameters:
    ///   - latitude: Degrees; NaN: missing.
    ///   - longitude: Degrees; NaN: missing.
    ///   - texts: Called once for each field in order; gives the field's UTF-8 bytes to `add`, or does not call it
    ///     when the field is missing.
    @inlinable
    public mutating func append(
        timestampMilliseconds: Int64, amount: Double, latitude: Double, longitude: Double,
        texts: (_ field: TextField, _ add: (UnsafeBufferPointer<UInt8>) -> Void) -> Void
    ) {
        messageIndex.append(Int32(truncatingIfNeeded: count))
        self.timestampMilliseconds.append(timestampMilliseconds)
        self.amount.append(amount)
        self.latitude.append(latitude)
        self.longitude.append(longitude)
        for field in TextField.allCases {
            var span = TextSpan.missing
            var hash: UInt64 = 0
            texts(field) { bytes in
                precondition(
                    arena.count + bytes.count < Int(UInt32.max), "a batch holds less than 4 GiB of text")
                span = TextSpan(offset: UInt32(arena.count), length: UInt32(bytes.count))
                hash = TextHash.hash(UnsafeRawBufferPointer(bytes))
                arena.append(contentsOf: bytes)
            }
            spans.append(span)
            hashes.append(hash)
        }
    }

    /// One row as a record.
    public func transaction(_ row: Int) -> Transaction {
        Transaction(
            transactionID: text(.transactionID, row) ?? "", userID: text(.userID, row) ?? "",
            amount: amount[row], timestampMilliseconds: timestampMilliseconds[row],
            currency: text(.currency, row), merchantID: text(.merchantID, row),
            category: text(.category, row), country: text(.country, row),
            channel: text(.channel, row), deviceID: text(.deviceID, row),
            latitude: latitude[row].isNaN ? nil : latitude[row],
            longitude: longitude[row].isNaN ? nil : longitude[row])
    }

    public mutating func removeAll(keepingCapacity: Bool) {
        timestampMilliseconds.removeAll(keepingCapacity: keepingCapacity)
        amount.removeAll(keepingCapacity: keepingCapacity)
        latitude.removeAll(keepingCapacity: keepingCapacity)
        longitude.removeAll(keepingCapacity: keepingCapacity)
        messageIndex.removeAll(keepingCapacity: keepingCapacity)
        spans.removeAll(keepingCapacity: keepingCapacity)
        hashes.removeAll(keepingCapacity: keepingCapacity)
        arena.removeAll(keepingCapacity: keepingCapacity)
    }
}

/// Where a text lies in the arena.
@usableFromInline
@frozen
struct TextSpan: Sendable {
    @usableFromInline var offset: UInt32
    /// `UInt32.max`: missing.
    @usableFromInline var length: UInt32

    @usableFromInline static let missing = TextSpan(offset: 0, length: .max)

    @inlinable
    init(offset: UInt32, length: UInt32) {
        self.offset = offset
        self.length = length
    }

    @inlinable var isMissing: Bool { length == .max }
    @inlinable var range: Range<Int> { Int(offset)..<Int(offset) + Int(length) }
}
