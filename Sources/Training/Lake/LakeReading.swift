import Lake
import Metrics

/// What was read of the lake for a job, and for those that were worked on together with it.
public struct LakeReading: Codable, Sendable, Hashable {
    public var files = 0
    /// Requests to the store and the bytes that they brought; listings are not counted.
    public var requests = 0
    public var bytes = 0
    public var rowGroups = 0
    /// Row groups that could not hold one of the users, and were not fetched.
    public var rowGroupsPassed = 0
    /// Files that could not be read and were left out (`lake.onbadfile: skip`).
    public var skippedFiles = 0
    /// Why, of the first of them.
    public var skipReasons: [String] = []

    init(_ scan: ScanStatistics) {
        files = scan.files
        requests = scan.requests
        bytes = scan.bytesFetched
        rowGroups = scan.rowGroupsRead
        rowGroupsPassed = scan.rowGroupsSkippedByStatistics + scan.rowGroupsSkippedByFilter
        skippedFiles = scan.skippedFiles
        skipReasons = scan.skipReasons
    }

    /// For the job's answer, beside the model's own figures.
    public var metrics: [String: Double] {
        [
            "lake_files": Double(files), "lake_requests": Double(requests), "lake_bytes": Double(bytes),
            "lake_row_groups": Double(rowGroups), "lake_row_groups_passed": Double(rowGroupsPassed),
            "lake_files_skipped": Double(skippedFiles),
        ]
    }

    /// A sentence for each file that was left out, as far as they are kept.
    var notes: [String] {
        guard skippedFiles > skipReasons.count else { return skipReasons.map { "left out: \($0)" } }
        return skipReasons.map { "left out: \($0)" }
            + ["left out: \(skippedFiles - skipReasons.count) further files that cannot be read"]
    }

    /// For whoever watches the process.
    func count() {
        Counter(label: "ml_training_lake_requests_total").increment(by: Int64(requests))
        Counter(label: "ml_training_lake_bytes_total").increment(by: Int64(bytes))
        Counter(label: "ml_training_lake_files_skipped_total").increment(by: Int64(skippedFiles))
    }
}
