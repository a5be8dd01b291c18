import CSimdJSON
import Exact

/// Parses and checks JSON messages, a batch at a time.
///
/// Used by one thread at a time; keeps its buffers from batch to batch. Of several members with one name the last
/// counts, as in Python's and JavaScript's parsers. The first fault is named, fields in this order: transaction_id,
/// user_id, amount, timestamp, the other texts in the order of `TextField`, latitude, longitude.
public final class TransactionParser {
    private let parser: OpaquePointer
    private var messages: [csimd_message] = []

    /// - Parameter zone: Of times that do not say theirs; nil: they are refused.
    public init(zone: PlaceZone? = nil) {
        parser = PlaceZone.withPointer(zone) { csimd_parser_create($0) }
    }

    deinit { csimd_parser_destroy(parser) }

    /// Appends the transactions among `messages` to `batch`, in order.
    ///
    /// - Parameter messages: One JSON object each, of at most 65536 bytes; borrowed for the call. Fewer than 4 GiB
    ///   together with what the batch already holds.
    /// - Returns: The messages that are no transactions, ascending by index.
    public func parse(
        _ messages: [UnsafeRawBufferPointer], into batch: inout TransactionBatch
    ) -> [Rejection] {
        self.messages.removeAll(keepingCapacity: true)
        self.messages.reserveCapacity(messages.count)
        var byteCount = batch.arena.count
        for message in messages {
            byteCount += message.count
            self.messages.append(csimd_message(bytes: message.baseAddress, length: message.count))
        }
        precondition(byteCount < Int(UInt32.max), "a batch holds less than 4 GiB of text")
        let columns = csimd_parse(parser, self.messages, messages.count, UInt32(batch.arena.count))
        batch.append(columns)
        return UnsafeBufferPointer(start: columns.rejections, count: columns.rejection_count).map(
            Rejection.init)
    }
}

extension TransactionBatch {
    /// Copies what the parser gave; its memory holds until its next call only.
    fileprivate mutating func append(_ columns: csimd_columns) {
        let rows = columns.rows
        timestampMilliseconds += UnsafeBufferPointer(start: columns.timestamp_milliseconds, count: rows)
        amount += UnsafeBufferPointer(start: columns.amount, count: rows)
        latitude += UnsafeBufferPointer(start: columns.latitude, count: rows)
        longitude += UnsafeBufferPointer(start: columns.longitude, count: rows)
        messageIndex += UnsafeBufferPointer(start: columns.message, count: rows)
        hashes += UnsafeBufferPointer(start: columns.hashes, count: rows * TextField.count)
        arena += UnsafeBufferPointer(start: columns.arena, count: columns.arena_length)
        let texts = UnsafeBufferPointer(start: columns.texts, count: rows * TextField.count)
        spans.reserveCapacity(spans.count + texts.count)
        for text in texts { spans.append(TextSpan(offset: text.offset, length: text.length)) }
    }
}

extension Rejection {
    fileprivate init(_ rejection: csimd_rejection) {
        self.init(
            messageIndex: rejection.message, reason: RejectionReason.allCases[Int(rejection.reason)],
            field: rejection.field < 0 ? nil : Self.fieldKeys[Int(rejection.field)],
            value: rejection.text)
    }

    /// In the order of the C parser's field numbers: the texts, then the numbers.
    private static let fieldKeys =
        TextField.allCases.map(\.key) + ["amount", "timestamp", "latitude", "longitude"]
}

extension csimd_rejection {
    fileprivate var text: String? {
        guard value_length > 0 else { return nil }
        return withUnsafeBytes(of: value) { String(decoding: $0.prefix(Int(value_length)), as: UTF8.self) }
    }
}
