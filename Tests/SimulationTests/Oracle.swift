import BatchProtocol
import Features

/// Knows what an undisturbed run says of every record, and compares.
struct Oracle {
    private let events: [WindowEvent]
    /// Each user's window of the records that count.
    private var windows: [UserWindow]
    private var expected: [UInt64?]
    private var userOf: [Int]
    private var verdicts: [SimulatedVerdict?]
    /// How many verdicts a record may have: one more each time that an operator sets offsets back.
    private var allowed: [Int]
    private var seen: [Int]
    private var offsets: [Int32: [Int]] = [:]
    private let isExactlyOnce: Bool
    /// The topic grows: records of a user are then ordered by their commits alone.
    private let isByCommit: Bool
    private(set) var lossy: Set<Int32> = []
    var damaged: Set<Int> = []
    private var isSetByHand = false
    private var skippedByHand: Set<Int> = []

    init(events: [WindowEvent], schedule: Schedule) {
        self.events = events
        windows = Array(repeating: UserWindow(), count: schedule.users)
        expected = Array(repeating: nil, count: events.count)
        userOf = Array(repeating: 0, count: events.count)
        verdicts = Array(repeating: nil, count: events.count)
        allowed = Array(repeating: 1, count: events.count)
        seen = Array(repeating: 0, count: events.count)
        isExactlyOnce = schedule.isExactlyOnce
        isByCommit = schedule.faults.contains { if case .growTopic = $0.kind { true } else { false } }
    }

    mutating func appended(_ record: SimulatedRecord) {
        userOf[record.index] = record.user
        offsets[record.partition, default: []].append(record.index)
        if !isByCommit { count(record.index) }
    }

    private mutating func count(_ index: Int) {
        expected[index] = SimulatedWindows.digest(windows[userOf[index]], events[index])
        windows[userOf[index]].fold(events[index])
    }

    /// A verdict can be read by others.
    mutating func published(_ verdict: SimulatedVerdict) -> (Invariant, String)? {
        let index = verdict.record
        let place = "partition \(verdict.partition) offset \(verdict.offset)"
        seen[index] += 1
        if isByCommit, expected[index] == nil { count(index) }
        if verdict.isLost, !mayBeLost(verdict) {
            return (.marksAreTrue, "\(place) is marked, but the store lost nothing there")
        }
        if verdict.isAhead, !isSetByHand {
            return (.marksAreTrue, "\(place) is marked as ahead, but nobody set offsets back")
        }
        if !verdict.isLost, !verdict.isAhead, verdict.digest != expected[index] {
            return (.exactWindows, "\(place) was made from another window")
        }
        defer { verdicts[index] = verdict }
        if seen[index] > allowed[index], isExactlyOnce {
            return (.oneVerdict, "\(place) has \(seen[index]) verdicts")
        }
        return nil
    }

    private func mayBeLost(_ verdict: SimulatedVerdict) -> Bool {
        lossy.contains(verdict.partition) || damaged.contains(userOf[verdict.record])
    }

    /// - Returns: What is wrong when the committed offset goes from one place to another.
    mutating func skipped(_ partition: Int32, _ from: Int64, _ to: Int64, _ count: Int) -> String? {
        if to > count { return "partition \(partition) is committed to \(to) of \(count)" }
        for offset in Int(from)..<max(Int(from), Int(to)) {
            guard let index = offsets[partition]?[offset] else { continue }
            if seen[index] == 0 { return "partition \(partition) offset \(offset) has no verdict" }
        }
        return nil
    }

    /// The store lacks windows where what it was last asked to write lies below the committed offset.
    mutating func noteLosses(
        _ store: any WindowWorld, _ broker: SimulatedBroker, committing offsets: [Int32: Int64] = [:]
    ) {
        for (partition, committed) in broker.committed.merging(offsets, uniquingKeysWith: { $1 }) {
            if store.ends[partition] ?? -1 < committed { lossy.insert(partition) }
        }
    }

    mutating func moved(_ changes: [Int32: (from: Int64, to: Int64)]) {
        for (partition, change) in changes {
            isSetByHand = true
            let indices = offsets[partition] ?? []
            if change.to < change.from {
                for offset in change.to..<change.from { allowed[indices[Int(offset)]] += 1 }
            } else {
                for offset in change.from..<change.to { skippedByHand.insert(indices[Int(offset)]) }
            }
        }
    }

    /// Whether nothing happened that may have cost this user's window a record.
    func isExact(_ user: Int) -> Bool {
        lossy.isEmpty && !damaged.contains(user) && skippedByHand.isEmpty
    }

    func window(of user: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        windows[user].encode(into: &bytes)
        return bytes
    }
}
