import Foundation
import Lake
import ObjectStore
import Synchronization
import Transactions

/// Takes labels in: says of each whether it is news, and writes those that are into the lake. Thread-safe; calls block.
///
/// What is known already is kept in memory, 40 bytes a labelled transaction, read from the lake when it is first
/// needed and topped up from files that others have written since.
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
        /// They say what was said before.
        public var repeated = 0

        public init() {}
    }

    private struct Standing {
        var knownAt: Int64
        var isFraud: Bool
    }

    private struct State {
        var standing: [UInt64: Standing] = [:]
        var seen: Set<String> = []
        var checked = ContinuousClock.Instant?.none
    }

    private let files: LabelFiles
    private let state = Mutex(State())

    /// How often files of others are looked for, at most.
    private static let checkInterval = Duration.seconds(10)

    public init(lake: any ObjectStore) { files = LabelFiles(lake: lake) }

    /// - Parameter name: Where they came from: what the files' names begin with.
    public func take(_ labels: [Label], name: String) throws -> Receipt {
        try state.withLock { state in
            try refresh(&state)
            var receipt = Receipt()
            receipt.received = labels.count
            var after = state.standing
            var news: [Label] = []
            for label in labels {
                let transaction = TextHash.hash(label.transactionID)
                let new = Standing(knownAt: label.knownMilliseconds, isFraud: label.isFraud)
                guard let old = after[transaction] else {
                    receipt.new += 1
                    after[transaction] = new
                    news.append(label)
                    continue
                }
                if old.isFraud == new.isFraud {
                    receipt.repeated += 1
                } else if Label.precedes((old.knownAt, old.isFraud), (new.knownAt, new.isFraud)) {
                    receipt.changed += 1
                    after[transaction] = new
                    news.append(label)
                } else {
                    // Kept all the same: whoever looks as of an earlier moment must see it.
                    receipt.conflicting += 1
                    if old.knownAt != new.knownAt { news.append(label) }
                }
            }
            if !news.isEmpty { try files.write(news, name: name) }
            state.standing = after
            return receipt
        }
    }

    private func refresh(_ state: inout State) throws {
        if let checked = state.checked, ContinuousClock.now - checked < Self.checkInterval { return }
        let fresh = try files.files(in: LabelFiles.allDays).filter {
            !state.seen.contains("\($0.key) \($0.tag.text)")
        }
        var standing = state.standing
        try files.read(fresh) { row in
            let new = Standing(knownAt: row.knownAt, isFraud: row.isFraud)
            if let old = standing[row.transaction],
                !Label.precedes((old.knownAt, old.isFraud), (new.knownAt, new.isFraud))
            {
                return
            }
            standing[row.transaction] = new
        }
        state.standing = standing
        for file in fresh { state.seen.insert("\(file.key) \(file.tag.text)") }
        state.checked = .now
    }
}
