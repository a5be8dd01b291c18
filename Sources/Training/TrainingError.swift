import Lake
import Retrying

/// What training, loading and generating cannot do. Stores that fail throw their own errors.
public enum TrainingError: Retryable, Sendable, Hashable, CustomStringConvertible {
    /// `field` is called as in the HTTP API: `date_range`, `parameters.max_samples`.
    case invalidRequest(field: String, reason: String)
    /// There is nothing to work on, or not enough.
    case noData(String)
    /// A user has too few transactions in the days that were asked for: so many.
    case insufficientHistory(rows: Int, reason: String)
    /// An idempotency key came with another request before.
    case keyReused(String)
    /// The queue is full: `limit` jobs wait.
    case queueFull(limit: Int)
    /// Of one of those who submit jobs: too many wait, or came within an hour.
    case tooManyJobs(String, retrySeconds: Int)
    /// The folder for temporary files cannot be written or read.
    case scratch(folder: String, reason: String)
    case cancelled
    /// The job's row in the database cannot be read.
    case damagedJob(id: String, reason: String)

    /// - Parameter notes: What of the days was not read.
    static func noTransactions(_ days: ClosedRange<LakeDay>, _ notes: [String]) -> TrainingError {
        let why = notes.isEmpty ? "" : ": \(notes.joined(separator: "; "))"
        return .noData("the lake has no transactions from \(days.lowerBound) to \(days.upperBound)\(why)")
    }

    /// Whether the same call may succeed later.
    public var isRetryable: Bool {
        switch self {
        case .scratch, .queueFull, .tooManyJobs: true
        case .invalidRequest, .noData, .insufficientHistory, .keyReused, .cancelled, .damagedJob: false
        }
    }

    public var description: String {
        switch self {
        case .invalidRequest(let field, let reason): "\(field): \(reason)"
        case .noData(let reason): reason
        case .insufficientHistory(_, let reason): "insufficient_history: \(reason)"
        case .keyReused(let key): "the idempotency key \(key) was used for another request"
        case .queueFull(let limit): "\(limit) training jobs wait already; try again later"
        case .tooManyJobs(let reason, let seconds): "\(reason); try again in \(seconds) s"
        case .scratch(let folder, let reason): "temporary files in \(folder): \(reason); is the disk full?"
        case .cancelled: "cancelled"
        case .damagedJob(let id, let reason): "the record of job \(id) is damaged: \(reason); submit it again"
        }
    }
}
