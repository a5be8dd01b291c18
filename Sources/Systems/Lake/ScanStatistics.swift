/// What a scan did.
public struct ScanStatistics: Sendable, Hashable {
    public var files = 0
    public var rowGroupsRead = 0
    /// Row groups that cannot hold one of the users, by the smallest and largest user they name.
    public var rowGroupsSkippedByStatistics = 0
    /// Row groups that cannot hold one of the users, by their Bloom filter.
    public var rowGroupsSkippedByFilter = 0
    /// Rows decoded.
    public var rowsRead = 0
    /// Rows handed over.
    public var rows = 0
    /// Requests to the store and what they brought; listings are not counted, nor what was still in memory.
    public var requests = 0
    public var bytesFetched = 0

    /// Files that could not be read and were left out (`BadFiles.skip`).
    public private(set) var skippedFiles = 0
    /// Why, with the file's name, of the first `maximumReasons` of them.
    public private(set) var skipReasons: [String] = []

    public static let maximumReasons = 20

    public init() {}

    mutating func skip(_ reason: String) {
        skippedFiles += 1
        if skipReasons.count < Self.maximumReasons { skipReasons.append(reason) }
    }

    /// What was read for nothing counts as requests and bytes alone.
    mutating func forgetRows(since before: ScanStatistics) {
        (rows, rowsRead) = (before.rows, before.rowsRead)
        rowGroupsRead = before.rowGroupsRead
        rowGroupsSkippedByFilter = before.rowGroupsSkippedByFilter
        rowGroupsSkippedByStatistics = before.rowGroupsSkippedByStatistics
    }

    /// Adds what another scan did.
    public mutating func add(_ other: ScanStatistics) {
        files += other.files
        rowGroupsRead += other.rowGroupsRead
        rowGroupsSkippedByStatistics += other.rowGroupsSkippedByStatistics
        rowGroupsSkippedByFilter += other.rowGroupsSkippedByFilter
        rowsRead += other.rowsRead
        rows += other.rows
        requests += other.requests
        bytesFetched += other.bytesFetched
        addSkipped(of: other)
    }

    /// Adds the files that another scan left out, and nothing else of it.
    public mutating func addSkipped(of other: ScanStatistics) {
        skippedFiles += other.skippedFiles
        skipReasons += other.skipReasons.prefix(Self.maximumReasons - skipReasons.count)
    }
}
