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

    public init() {}
}
