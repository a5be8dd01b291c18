import Crypto
import Exact
import Foundation
import Lake
import Logging
import ObjectStore
import Retrying

/// Retrains at set times: the global model, then of the users those with enough new transactions. Nothing when the lake has
/// not changed since the last time. As a service: `run` on a thread of its own.
///
/// Of several processes one does it: whoever writes first, into the object store, that this time has been seen to.
public final class TrainingSchedule: Sendable {
    /// What became of a time.
    public enum Outcome: Sendable, Hashable {
        /// These jobs were put into the queue.
        case submitted([String])
        /// The lake is what it was the last time.
        case unchanged
        /// Another process has seen to it.
        case taken
        /// The lake has no days.
        case empty
    }

    /// What was done last, in the object store.
    private struct Record: Codable {
        /// Milliseconds since 1970.
        var due: Int64
        /// Of the names and tags of the files that were trained on.
        var lake: String
        /// The last day that was trained on.
        var lastDay: String
    }

    private let words: CronWords
    private let days: Int
    private let jobs: any JobStore
    private let reader: LakeReader
    private let objects: any ObjectStore
    private let logger: Logger
    private let stopping = StopSignal()

    private static let key = "models/schedule.json"
    private static let maximumSize = 4_096
    /// Processes that share a store do not all ask it in the same moment.
    private static let jitterMilliseconds: Int64 = 30_000

    /// - Parameters:
    ///   - days: Of the lake, the last ones, that are trained on; at least 1.
    ///   - objects: The models' store.
    public init(
        _ words: CronWords, days: Int, jobs: any JobStore, lake: any ObjectStore, objects: any ObjectStore,
        logger: Logger
    ) {
        self.words = words
        self.days = max(1, days)
        self.jobs = jobs
        reader = LakeReader(store: lake)
        self.objects = objects
        self.logger = logger
    }

    public func stop() { stopping.give() }

    /// Blocks until `stop` is called.
    public func run() {
        func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }
        var due = words.next(after: now())
        var jitter = Int64.random(in: 0...Self.jitterMilliseconds)
        stopping.untilGiven(every: .milliseconds(200)) {
            if let time = due, now() >= time + jitter {
                attempt(time)
                due = words.next(after: now())
                jitter = Int64.random(in: 0...Self.jitterMilliseconds)
            }
        }
    }

    private func attempt(_ due: Int64) {
        do {
            let outcome = try seeTo(due)
            logger.info("scheduled training", metadata: ["outcome": "\(outcome)"])
        } catch {
            logger.warning(
                "scheduled training could not be begun; the next time tries again",
                metadata: ["reason": "\(error)"])
        }
    }

    /// Does what is due at a time, unless it was done.
    func seeTo(_ due: Int64) throws -> Outcome {
        let object = try objects.get(Self.key, maximumSize: Self.maximumSize)
        // What cannot be read is as if there were nothing: training once too often does no harm.
        let last = object.flatMap { try? JSONDecoder().decode(Record.self, from: Data($0.bytes)) }
        if let last, last.due >= due { return .taken }
        guard let lastDay = try reader.days().last else { return .empty }
        let range = lastDay.adding(days: 1 - days)...lastDay
        var hash = SHA256()
        for file in try reader.files(in: range) {
            hash.update(data: Array("\(file.key) \(file.sizeBytes) \(file.tag.text)\n".utf8))
        }
        let record = Record(due: due, lake: Hex.text(hash.finalize()), lastDay: "\(lastDay)")
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let condition = object.map { PutCondition.unchanged($0.tag) } ?? .absent
        guard try objects.putIfUnchanged(Self.key, [UInt8](try encoder.encode(record)), condition) else {
            return .taken
        }
        if let last, last.lake == record.lake { return .unchanged }
        return .submitted(try submit(due, range, since: last.flatMap { LakeDay(parsing: $0.lastDay) }))
    }

    /// - Parameter day: The last one that was trained on before; nil: none was.
    private func submit(_ due: Int64, _ range: ClosedRange<LakeDay>, since day: LakeDay?) throws -> [String] {
        // One worker runs them in this order, so that users' models are judged against the new global one.
        let global = try jobs.submit(
            TrainingRequest(from: range.lowerBound, to: range.upperBound, promotion: .gated),
            key: "schedule \(due) global")
        var users = TrainingRequest(
            allUsers: true, from: range.lowerBound, to: range.upperBound, promotion: .gated)
        users.changedSince = day.map { $0.adding(days: 1) }
        return [global.id, try jobs.submit(users, key: "schedule \(due) users").id]
    }
}
