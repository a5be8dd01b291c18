import Foundation
import Lake
import Logging
import ObjectStore
import Synchronization
import Transactions

/// Takes labels in: says of each whether it is news, and writes those that are into the lake. Thread-safe; calls block.
///
/// What is known already is kept in memory, about 60 bytes a label, read from the lake when it is first needed and
/// topped up from files that others have written since. Where they have removed or replaced one, all is read again.
///
///     let receipt = try LabelBook(lake: lake).take(labels, name: "api")
///     print(receipt.new, receipt.changed, receipt.conflicting)
public final class LabelBook: Sendable {
    /// What became of some labels.
    public struct Receipt: Sendable, Hashable, Codable {
        public var received = 0
        /// Their transactions had none.
        public var new = 0
        /// They became known later than the ones before, and say something else.
        public var changed = 0
        /// They say something else than what stands, and do not stand: known earlier, or genuine at the same moment.
        public var conflicting = 0
        /// They say what stands, or came before.
        public var repeated = 0

        public init() {}

        /// For counters.
        public var counts: [(result: String, count: Int)] {
            [("new", new), ("changed", changed), ("conflicting", conflicting), ("repeated", repeated)]
        }
    }

    /// What is said of a transaction.
    public struct Standing: Sendable, Hashable {
        public let isFraud: Bool
        /// Milliseconds since 1970 UTC.
        public let knownMilliseconds: Int64
        /// Who said so; empty: the file does not tell.
        public let source: String
    }

    private struct Entry: BitwiseCopyable {
        var knownAt: Int64
        var isFraud: Bool
        /// In `State.sources`.
        var source: UInt16
    }

    private struct State {
        var standing: [UInt64: Entry] = [:]
        /// Labels that came: a hash of transaction, moment and what was said. Twice is once.
        var known: Set<UInt64> = []
        var sources = [""]
        var sourceNumbers = ["": UInt16(0)]
        /// The files that were read, or begun, by their keys.
        var seen: [String: (tag: VersionTag, isRead: Bool)] = [:]
        var checked = ContinuousClock.Instant?.none

        /// Beyond 65,535 different ones further sources are not told.
        mutating func number(ofSource source: String) -> UInt16 {
            if let number = sourceNumbers[source] { return number }
            guard sources.count <= Int(UInt16.max) else { return 0 }
            let number = UInt16(sources.count)
            sources.append(source)
            sourceNumbers[source] = number
            return number
        }

        mutating func add(_ row: LabelFiles.Row, source: String) {
            known.insert(row.identity)
            if let old = standing[row.transaction],
                !Label.precedes((old.knownAt, old.isFraud), (row.knownAt, row.isFraud))
            {
                return
            }
            standing[row.transaction] = Entry(
                knownAt: row.knownAt, isFraud: row.isFraud, source: number(ofSource: source))
        }
    }

    private let files: LabelFiles
    private let checkInterval: Duration
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - badFiles: What becomes of a file that cannot be read: one that is left out is logged.
    ///   - checkInterval: How often files of others are looked for, at most.
    public init(
        lake: any ObjectStore, badFiles: BadFiles = .fail, checkInterval: Duration = .seconds(10),
        logger: Logger = Logger(label: "labels")
    ) {
        files = LabelFiles(lake: lake, badFiles: badFiles)
        self.checkInterval = checkInterval
        self.logger = logger
    }

    /// - Parameter name: Where they came from: what the files' names begin with.
    public func take(_ labels: [Label], name: String) throws -> Receipt {
        try state.withLock { state in
            try refresh(&state)
            var receipt = Receipt()
            receipt.received = labels.count
            // Remembered only once they are in the lake.
            var standing: [UInt64: LabelFiles.Row] = [:]
            var known: Set<UInt64> = []
            var news: [(label: Label, row: LabelFiles.Row)] = []
            for label in labels {
                let row = LabelFiles.Row(
                    transaction: TextHash.hash(label.transactionID), knownAt: label.knownMilliseconds,
                    isFraud: label.isFraud)
                guard !state.known.contains(row.identity), known.insert(row.identity).inserted else {
                    receipt.repeated += 1
                    continue
                }
                // Kept whatever stands: whoever looks as of another moment must see it.
                news.append((label, row))
                let old =
                    standing[row.transaction].map { ($0.knownAt, $0.isFraud) }
                    ?? state.standing[row.transaction].map { ($0.knownAt, $0.isFraud) }
                guard let old else {
                    receipt.new += 1
                    standing[row.transaction] = row
                    continue
                }
                let stands = Label.precedes(old, (row.knownAt, row.isFraud))
                if stands { standing[row.transaction] = row }
                if old.1 == row.isFraud {
                    receipt.repeated += 1
                } else if stands {
                    receipt.changed += 1
                } else {
                    receipt.conflicting += 1
                }
            }
            if !news.isEmpty { try files.write(news.map(\.label), name: name) }
            for new in news { state.add(new.row, source: new.label.source) }
            return receipt
        }
    }

    /// What stands of these transactions, by their `TextHash`es; those of which nobody has said anything are not there.
    public func standing(of transactions: [UInt64]) throws -> [UInt64: Standing] {
        try state.withLock { state in
            try refresh(&state)
            var found: [UInt64: Standing] = [:]
            for transaction in transactions {
                guard let entry = state.standing[transaction] else { continue }
                found[transaction] = Standing(
                    isFraud: entry.isFraud, knownMilliseconds: entry.knownAt,
                    source: state.sources[Int(entry.source)])
            }
            return found
        }
    }

    /// A file that fails is read again next time; what was taken of it until then does no harm.
    private func refresh(_ state: inout State) throws {
        if let checked = state.checked, ContinuousClock.now - checked < checkInterval { return }
        let listed = try files.files(in: LabelFiles.allDays)
        let tags = Dictionary(listed.map { ($0.key, $0.tag) }) { first, _ in first }
        // What a file said that is gone, or says something else now, cannot be told from what the others say.
        if state.seen.contains(where: { tags[$0.key] != $0.value.tag }) { state = State() }
        let fresh = listed.filter { state.seen[$0.key]?.isRead != true }
        for file in fresh { state.seen[file.key] = (file.tag, false) }
        let reading = try files.readSources(fresh) { row, source in
            state.add(row, source: source.map { String(decoding: $0, as: UTF8.self) } ?? "")
        }
        for file in fresh { state.seen[file.key] = (file.tag, true) }
        for reason in reading.skipReasons {
            logger.warning("a file of labels is left out", metadata: ["reason": "\(reason)"])
        }
        state.checked = .now
    }
}

extension LabelFiles.Row {
    /// A hash of all that it says.
    fileprivate var identity: UInt64 {
        var hash = transaction ^ UInt64(bitPattern: knownAt) &* 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ hash >> 32) &* 0xD6E8_FEB8_6659_FD93 &+ (isFraud ? 1 : 0)
        return (hash ^ hash >> 32) &* 0xD6E8_FEB8_6659_FD93
    }
}
