/// What becomes of reading when one of the files is damaged, lacks a column, or holds something else than it should.
public enum BadFiles: String, Sendable, Hashable, CaseIterable {
    /// Reading ends there, with the file's name.
    case fail
    /// The file is left out whole, and named. A scan reads each file twice then: first to see that all of it can be read.
    case skip
}

/// How Parquet files are fetched from a store. The defaults suit S3, where a request costs as much time as about a
/// megabyte, and do no harm on a disk.
public struct ReadSettings: Sendable, Hashable {
    /// A file of at most so many bytes is fetched whole, in one request.
    public var wholeFileBytes = 512 << 10
    /// Bytes fetched from the end of a longer file, for its footer.
    public var footerBytes = 64 << 10
    /// Wanted ranges that are no further apart become one request.
    public var gapBytes = 256 << 10
    /// No request is longer.
    public var requestBytes = 32 << 20
    /// What one open file may hold in memory, decoded batches included; beyond, reading fails with `.tooLarge`.
    public var memoryBytes = 2 << 30

    /// Requests at a time that fetch ahead of the scan, and files whose first request is made ahead; 0: none.
    public var requestsAhead = 8

    /// Bytes that are kept of scans for some users, for those that follow; 0: none.
    public var recentBytes = 64 << 20

    /// What a scan does with a file that cannot be read.
    public var badFiles = BadFiles.fail

    public init() {}

    /// What is fetched first of a file of this size.
    func firstRange(sizeBytes: Int) -> Range<Int> {
        sizeBytes <= wholeFileBytes ? 0..<sizeBytes : max(0, sizeBytes - footerBytes)..<sizeBytes
    }
}
