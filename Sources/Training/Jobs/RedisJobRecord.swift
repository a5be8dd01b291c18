import Foundation

/// A job as it lies in Redis, JSON; versions to come must read it.
struct RedisJobRecord: Codable, Sendable {
    var job: TrainingJob
    var worker: String?
    /// Milliseconds since 1970 UTC, as `available`.
    var lease: Int64 = 0
    /// Not to be claimed before; 0: at once.
    var available: Int64 = 0
    var strikes = 0

    init(_ job: TrainingJob) { self.job = job }

    /// A record with what its change is conditional on.
    struct Stored: Sendable {
        var record: RedisJobRecord
        let revision: Int64
    }

    /// As it was read; it may be damaged.
    struct Raw: Sendable {
        let id: String
        /// nil: it is no number.
        let revision: Int64?
        let body: [UInt8]
        /// How far it is, written beside the record with each renewal of the lease.
        var stage: String?
        var progress: String?
        var updated: String?

        /// - Throws: `TrainingError.damagedJob`, and what decoding throws.
        func decoded() throws -> Stored {
            var record = try JSONDecoder().decode(RedisJobRecord.self, from: Data(body))
            let counts = -JobBounds.maximumAttempts...JobBounds.maximumAttempts
            guard let revision, record.job.id == id, (0...1).contains(record.job.progress),
                (0...JobBounds.maximumAttempts).contains(record.job.attempts), counts.contains(record.strikes)
            else {
                throw TrainingError.damagedJob(
                    id: id, reason: "its id, revision, progress, attempts or strikes cannot be")
            }
            if record.job.state == .running {
                if let stage { record.job.stage = TrainingStage(rawValue: stage) }
                if let part = progress.flatMap(Double.init), (0...1).contains(part) {
                    record.job.progress = part
                }
                if let time = updated.flatMap({ Int64($0) }) { record.job.updatedMilliseconds = time }
            }
            return Stored(record: record, revision: revision)
        }
    }

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(self))
    }

    /// Names who holds a running job, and for which time.
    var holder: String? {
        guard job.state == .running, let worker else { return nil }
        return "\(job.attempts):\(worker)"
    }

    mutating func begin(worker: String, now: Int64) {
        job.begin(now)
        self.worker = worker
        lease = now + JobBounds.leaseMilliseconds
        available = 0
        strikes += 1
    }
}

/// A record to be written, if it still is what it was.
struct RedisJobChange {
    let record: RedisJobRecord
    let condition: (field: String, value: String)
    /// It begins now: its submitter's next turn comes after those of the others.
    var begins = false

    init(_ record: RedisJobRecord, ifRevision revision: Int64, begins: Bool = false) {
        self.record = record
        self.begins = begins
        condition = ("rev", "\(revision)")
    }

    init(_ record: RedisJobRecord, ifHolder holder: String) {
        self.record = record
        condition = ("holder", holder)
    }

    var state: String {
        switch record.job.state {
        case .queued: "queued"
        case .running: "running"
        case .succeeded, .failed, .cancelled: "ended"
        }
    }

    /// Of the set that the state belongs to.
    var score: String {
        switch record.job.state {
        case .queued: record.available > 0 ? "\(record.available)" : ""
        case .running: "\(record.lease)"
        case .succeeded, .failed, .cancelled:
            "\(record.job.finishedMilliseconds ?? record.job.updatedMilliseconds)"
        }
    }
}

extension ClaimedJob {
    var holder: String { "\(attempt):\(worker)" }
}
