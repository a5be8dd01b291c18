import Foundation

/// What the conformance suite found out about a plugin.
public struct DetectorVerification: Sendable, Hashable, Codable {
    public var path: String
    /// Of the file; empty when it could not be read.
    public var sha256 = ""
    /// nil: it could not be loaded.
    public var id: String?
    public var version: String?
    public var checks: [VerificationCheck] = []

    public var hasPassed: Bool {
        !checks.isEmpty && checks.allSatisfy { $0.outcome != .failed && $0.outcome != .notReached }
    }

    public init(path: String) { self.path = path }

    /// For people: one line a check, and what the failed ones failed on; for what could not be loaded one line in all.
    public func table() -> String {
        if let failure = checks.first, failure.outcome == .failed,
            checks.dropFirst().allSatisfy({ $0.outcome == .notReached })
        {
            return "\(path) is refused: \(failure.detail)"
        }
        let title = [id, version].compactMap(\.self).joined(separator: " ")
        var lines = ["\(title.isEmpty ? "no detector" : title)  \(path)"]
        if !sha256.isEmpty { lines.append("sha256 \(sha256)") }
        let width = checks.map(\.name.count).max() ?? 0
        for check in checks {
            let name = check.name.padding(toLength: width, withPad: " ", startingAt: 0)
            let outcome = check.outcome.rawValue.padding(toLength: 14, withPad: " ", startingAt: 0)
            lines.append("  \(outcome) \(name)  \(check.detail)")
        }
        let failed = checks.count { $0.outcome == .failed }
        lines.append(hasPassed ? "passed" : failed == 1 ? "1 check failed" : "\(failed) checks failed")
        return lines.joined(separator: "\n")
    }
}

/// One line of the conformance suite.
public struct VerificationCheck: Sendable, Hashable, Codable {
    public enum Outcome: String, Sendable, Hashable, Codable {
        case passed
        case failed
        /// The detector does not have the capability.
        case notApplicable = "not applicable"
        /// The plugin could not be loaded.
        case notReached = "not reached"
    }

    public let name: String
    public let outcome: Outcome
    /// What was tried; for a failure the smallest input that shows it.
    public let detail: String
    /// By name with the unit: `batch-500-microseconds-per-row`, `artifact-bytes`.
    public var measurements: [String: Double]
    public var milliseconds: Double

    init(
        _ name: String, _ outcome: Outcome, _ detail: String, measurements: [String: Double] = [:],
        milliseconds: Double = 0
    ) {
        self.name = name
        self.outcome = outcome
        self.detail = detail
        self.measurements = measurements
        self.milliseconds = milliseconds
    }
}

/// How thorough the conformance suite is.
public struct VerificationSettings: Sendable, Hashable, Codable {
    public var seed: UInt64 = 1
    /// Artifacts that are damaged and read.
    public var mutations = 10_000
    /// Calls of `score` in which the memory must not grow.
    public var scorings = 10_000
    /// Rows of the largest batch that is timed.
    public var largestBatch = 100_000
    /// For each check; memory for the process.
    public var limits = ChildLimits(memoryMiB: 4_096, timeMilliseconds: 60_000)

    public init() {}
}
