import Transactions

/// Stage 1: records as columns. Nothing in it points into the stream's memory.
public struct ConsumedBatch: Sendable {
    public let transactions: TransactionBatch
    /// One for each transaction.
    public let offsets: [Int64]
    /// One for each transaction: which of `slices` it came from.
    public let sliceIndex: [Int32]
    public let slices: [PartitionSlice]
    public let deadLetters: [DeadLetter]
    public let assignment: UInt64
    /// Transactions whose record is not keyed by their user: another partition may hold that user's window.
    public let wronglyKeyed: Int
    /// One for each transaction: when the stream took its record in, milliseconds since 1970 UTC; `.min`: unknown. nil:
    /// the stream knows of none.
    var recordTimes: [Int64]?
    /// By transaction, of those whose record belongs to one.
    var traces: [Int32: TraceContext] = [:]

    public var count: Int { transactions.count }

    /// When the stream took a transaction's record in, milliseconds since 1970 UTC; nil: unknown.
    func recordMilliseconds(_ row: Int) -> Int64? {
        guard let time = recordTimes?[row], time != .min else { return nil }
        return time
    }
}

extension ConsumedBatch {
    /// Cuts the batch in two at an offset of each partition.
    ///
    /// - Parameter offset: Of a partition: records below it are in the first part.
    /// - Returns: nil for a part without records.
    func split(at offset: (Int32) -> Int64) -> (part: ConsumedBatch?, rest: ConsumedBatch?) {
        let cuts = slices.map { min(max(offset($0.source.partition), $0.start), $0.end) }
        if zip(cuts, slices).allSatisfy({ $0 == $1.end }) { return (self, nil) }
        let rows = 0..<count
        func part(_ isIn: (Int) -> Bool, _ range: (Int) -> Range<Int64>) -> ConsumedBatch? {
            let kept = slices.indices.filter { !range($0).isEmpty }
            guard !kept.isEmpty else { return nil }
            let chosen = rows.filter(isIn)
            var transactions = TransactionBatch()
            for row in chosen { transactions.append(self.transactions.transaction(row)) }
            return ConsumedBatch(
                transactions: transactions, offsets: chosen.map { offsets[$0] },
                sliceIndex: chosen.map { row in
                    Int32(kept.firstIndex(of: Int(sliceIndex[row])) ?? 0)
                },
                slices: kept.map { index in
                    PartitionSlice(
                        source: slices[index].source, start: range(index).lowerBound,
                        end: range(index).upperBound,
                        isAtBeginning: slices[index].isAtBeginning
                            && range(index).lowerBound == slices[index].start)
                }, deadLetters: [], assignment: assignment, wronglyKeyed: 0,
                recordTimes: recordTimes.map { times in chosen.map { times[$0] } },
                traces: traces.isEmpty
                    ? [:]
                    : Dictionary(
                        uniqueKeysWithValues: chosen.enumerated().compactMap { place, row in
                            traces[Int32(truncatingIfNeeded: row)].map {
                                (Int32(truncatingIfNeeded: place), $0)
                            }
                        }))
        }
        return (
            part({ offsets[$0] < cuts[Int(sliceIndex[$0])] }, { slices[$0].start..<cuts[$0] }),
            part({ offsets[$0] >= cuts[Int(sliceIndex[$0])] }, { cuts[$0]..<slices[$0].end })
        )
    }
}
