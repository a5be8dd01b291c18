import Exact
import Glibc
import SchemaRegistry
import Transactions

/// Stage 1: parses records into columns; what is no transaction becomes a dead letter.
///
/// Holds the parser's buffers: one for each reading thread.
public final class ConsumeStage {
    private let parser: TransactionParser
    private let framed: FramedRecords?

    /// - Parameters:
    ///   - zone: Of times that do not say theirs; nil: they are refused.
    ///   - schemas: Of records that Confluent's serialisers framed; nil: of those JSON alone is read.
    public init(zone: PlaceZone? = nil, schemas: SchemaRegistry? = nil) {
        parser = TransactionParser(zone: zone)
        framed = schemas.map { FramedRecords($0) }
    }

    /// - Throws: `SchemaRegistryError`: the same records are to be tried again.
    public func run(_ records: RawRecords) throws(SchemaRegistryError) -> ConsumedBatch {
        let (parsed, refused) = try parsed(records)
        let (transactions, rejections) = (parsed.transactions, parsed.rejections)
        let deadLetters = rejections.map { rejection in
            let index = Int(rejection.messageIndex)
            let source = records.slices[Int(records.sliceIndex[index])].source
            return DeadLetter(
                payload: Self.bytes(records.payloads[index]),
                key: records.keys.flatMap { Self.bytes($0[index]) },
                headers: records.headers?(index) ?? [], source: source, offset: records.offsets[index],
                reason: refused[index]?.reason ?? rejection.reason.rawValue,
                detail: refused[index]?.detail ?? rejection.detail)
        }
        let messages = transactions.messageIndex
        return withExtendedLifetime(records.owner) {
            ConsumedBatch(
                transactions: transactions,
                offsets: messages.map { records.offsets[Int($0)] },
                sliceIndex: messages.map { records.sliceIndex[Int($0)] },
                slices: records.slices, deadLetters: records.unreadable + deadLetters,
                assignment: records.assignment,
                wronglyKeyed: records.keys.map { wronglyKeyed(transactions, keys: $0) } ?? 0,
                recordTimes: records.recordMilliseconds.map { times in messages.map { times[Int($0)] } },
                traces: traces(messages, records.trace))
        }
    }

    private func parsed(
        _ records: RawRecords
    ) throws(SchemaRegistryError) -> (ParsedRecords, [Int: FramedRecords.Refusal]) {
        if let parsed = records.parsed { return (parsed, [:]) }
        guard let framed else { return (parser.parsed(records.payloads.map(ConfluentFraming.json)), [:]) }
        return try framed.read(records.payloads) { (parser.parsed($0), $1) }
    }

    /// A copy; nil for what the record does not have.
    private static func bytes(_ buffer: UnsafeRawBufferPointer) -> [UInt8]? {
        buffer.baseAddress == nil ? nil : Array(buffer)
    }

    private func traces(
        _ messages: [Int32], _ trace: ((Int) -> TraceContext?)?
    ) -> [Int32: TraceContext] {
        var traces: [Int32: TraceContext] = [:]
        guard let trace else { return traces }
        for (row, message) in messages.enumerated() {
            if let context = trace(Int(message)) { traces[Int32(truncatingIfNeeded: row)] = context }
        }
        return traces
    }

    private func wronglyKeyed(_ transactions: TransactionBatch, keys: [UnsafeRawBufferPointer]) -> Int {
        (0..<transactions.count).count { row in
            let key = keys[Int(transactions.messageIndex[row])]
            return transactions.withText(.userID, row) { user in
                guard let text = user?.baseAddress, let start = key.baseAddress, user?.count == key.count
                else {
                    return true
                }
                return memcmp(text, start, key.count) != 0
            }
        }
    }
}

extension TransactionParser {
    func parsed(_ payloads: [UnsafeRawBufferPointer]) -> ParsedRecords {
        var transactions = TransactionBatch()
        let rejections = parse(payloads, into: &transactions)
        return ParsedRecords(transactions: transactions, rejections: rejections)
    }
}
