import BatchProtocol
import Features

/// A batch in a simulated worker's hand.
struct SimulatedBatch {
    let span: BatchSpan
    let records: [SimulatedRecord]
    /// Chosen at the first attempt.
    var model: Int?

    func slice(of record: SimulatedRecord) -> SliceSpan {
        span.slices.first { $0.partition == record.partition }!
    }

    /// Each once, in the order of their first records.
    var users: [Int] {
        var users: [Int] = []
        for record in records where !users.contains(record.user) { users.append(record.user) }
        return users
    }
}

/// What a worker has read for an attempt.
struct SimulatedReading {
    /// Partitions that users come from and that are not in the batch.
    var asked: [Int32]
    var committedElsewhere: [Int32: Int64] = [:]
    /// Folds the batch, with the windows as they were read.
    let evaluate: (_ model: Int, _ committedElsewhere: [Int32: Int64]) -> Evaluation
}

struct Evaluation {
    var verdicts: [SimulatedVerdict] = []
    /// One request to the store. Sent again by a network, it is still the same one.
    var write: () -> Bool = { true }
}

/// The store and the window stage: lean ones for very many schedules, or those of production.
protocol WindowWorld: AnyObject {
    var violated: (Invariant, String) -> Void { get set }
    /// How far the windows of each partition reach in truth.
    var ends: [Int32: Int64] { get }

    /// - Parameter session: Whose window stage folds the batch.
    func read(_ batch: SimulatedBatch, session: Int) -> SimulatedReading
    func forgetWrites(_ count: Int)
    func flush()
    func damage(_ user: Int)
    /// A user's window, encoded, as the next worker would find it; nil: there is none that can be read.
    func windowAtRest(_ user: Int, committed: (Int32) -> Int64) -> [UInt8]?
}

/// The records of a batch's users, and how far the partitions are written.
struct LeanReading {
    let blobs: [Int: SimulatedBlob]
    let watermarks: [Int32: SimulatedWatermark]
    var committedElsewhere: [Int32: Int64] = [:]
}

struct LeanEvaluation {
    var verdicts: [SimulatedVerdict] = []
    var writes = SimulatedWrites()
}

/// The window stage: the real windows, the real decisions; features in place of scores.
struct SimulatedWindows {
    let events: [WindowEvent]
    let breakage: Breakage?

    private struct User {
        let id: Int
        let slice: SliceSpan
        var expected: Int?
        var start: WindowStart?
        var window = UserWindow()
        var base: [UInt8] = []
        var lacksRecords = false
        var pending: [(offset: Int64, event: WindowEvent)] = []
    }

    func evaluate(_ batch: SimulatedBatch, _ reading: LeanReading, model: Int, token: Int) -> LeanEvaluation {
        var users: [User] = []
        for id in batch.users {
            let first = batch.records.first { $0.user == id }!
            users.append(start(id, batch.slice(of: first), batch, reading))
        }
        let standings = batch.span.slices.map { ($0, standing($0, reading)) }
        var evaluation = LeanEvaluation()
        for record in batch.records {
            let user = users.firstIndex { $0.id == record.user }!
            let isLost = standings.contains {
                $0.0.partition == users[user].slice.partition && $0.1 != .whole
            }
            evaluation.verdicts.append(
                fold(record, &users[user], model: model, isLost: isLost || users[user].lacksRecords))
        }
        for user in users {
            let countsFrom = user.start?.countsFrom ?? user.slice.start
            evaluation.writes.blobs.append(
                (
                    user.id, user.expected,
                    SimulatedBlob(
                        token: token,
                        place: BlobPlace(partition: user.slice.partition, baseOffset: countsFrom),
                        base: user.base, pending: user.pending, lacksRecords: user.lacksRecords)
                ))
        }
        for slice in batch.span.slices { evaluation.writes.ends.append((slice.partition, slice.end)) }
        for (slice, standing) in standings where breakage != .writeNoWatermark {
            let old = reading.watermarks[slice.partition]
            var mark = standing.watermark(after: slice)
            if breakage == .largestWatermark, let old {
                mark = Watermark(end: max(mark.end, old.watermark.end), lostBelow: mark.lostBelow)
            }
            if breakage == .forgetLoss { mark = Watermark(end: mark.end) }
            evaluation.writes.watermarks.append(
                (slice.partition, old?.token, SimulatedWatermark(token: token, watermark: mark)))
        }
        return evaluation
    }

    private func standing(_ slice: SliceSpan, _ reading: LeanReading) -> Standing {
        if breakage == .ignoreWatermark { return .whole }
        return Standing(slice, watermark: reading.watermarks[slice.partition]?.watermark)
    }

    private func start(
        _ id: Int, _ slice: SliceSpan, _ batch: SimulatedBatch, _ reading: LeanReading
    ) -> User {
        var user = User(id: id, slice: slice)
        guard let blob = reading.blobs[id] else {
            user.window.encode(into: &user.base)
            return user
        }
        user.expected = blob.token
        if blob.isDamaged {
            user.lacksRecords = breakage != .damagedUnmarked
            user.window.encode(into: &user.base)
            return user
        }
        user.lacksRecords = blob.lacksRecords
        var elsewhere = reading.committedElsewhere
        for slice in batch.span.slices { elsewhere[slice.partition] = slice.start }
        let place =
            breakage == .ignorePartition
            ? BlobPlace(partition: slice.partition, baseOffset: blob.place.baseOffset) : blob.place
        let start = WindowStart(place, in: slice, committedElsewhere: elsewhere)
        user.start = start
        user.window = decoded(blob, foldingBelow: limit(start, blob, slice))
        user.window.encode(into: &user.base)
        return user
    }

    private func limit(_ start: WindowStart, _ blob: SimulatedBlob, _ slice: SliceSpan) -> Int64 {
        switch breakage {
        case .neverDropPending: .max
        case .alwaysDropPending: .min
        case .pendingByEnd: (blob.pending.last?.offset ?? 0) < start.foldsBelow ? .max : .min
        case .movedNeverCounts where start.isMoved: .min
        case .movedAlwaysCounts where start.isMoved: .max
        default: start.foldsBelow
        }
    }

    /// A blob's window with the pending records below an offset.
    func decoded(_ blob: SimulatedBlob, foldingBelow limit: Int64) -> UserWindow {
        guard var window = try? blob.base.withUnsafeBytes({ try UserWindow(decoding: $0) }) else {
            preconditionFailure("what a window wrote it reads")
        }
        let pending = breakage == .pendingReversed ? blob.pending.reversed() : blob.pending
        for (offset, event) in pending where offset < limit {
            window.fold(event)
            if breakage == .foldPendingTwice { window.fold(event) }
        }
        return window
    }

    private func fold(
        _ record: SimulatedRecord, _ user: inout User, model: Int, isLost: Bool
    ) -> SimulatedVerdict {
        let event = events[record.index]
        let isOwn = record.partition == user.slice.partition
        let isAhead = isOwn && record.offset < user.start?.countsFrom ?? 0
        let verdict = SimulatedVerdict(
            record: record.index, partition: record.partition, offset: record.offset,
            digest: Self.digest(user.window, event), model: model,
            isMoved: user.start?.isMoved == true || !isOwn, isAhead: isAhead, isLost: isLost)
        if isAhead, breakage != .countAheadAgain { return verdict }
        user.window.fold(event)
        // A record of another slice counts with the batch as a whole.
        user.pending.append((isOwn ? record.offset : user.slice.end - 1, event))
        return verdict
    }

    /// Of an event's features, bit for bit.
    static func digest(_ window: UserWindow, _ event: WindowEvent) -> UInt64 {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: UserWindow.featureCount) { features in
            features.initialize(repeating: 0)
            window.writeFeatures(for: event, into: features)
            return digest(features)
        }
    }

    static func digest(_ features: some Sequence<Float>) -> UInt64 {
        features.reduce(0xCBF2_9CE4_8422_2325) { hash, value in
            (hash ^ UInt64((value.isNaN ? Float.nan : value).bitPattern)) &* 0x100_0000_01B3
        }
    }
}
