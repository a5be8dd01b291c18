import ObjectStore

/// A Parquet file of the lake.
public struct LakeFile: Sendable, Hashable {
    public let day: LakeDay
    public let key: String
    public let sizeBytes: Int
    public let tag: VersionTag
}

/// Reads the lake: `<prefix>/yyyy/mm/dd/*.parquet` of an object store.
///
/// Every call blocks its thread on the store: call from a thread of your own. Safe to use from several threads at
/// once. Nothing is remembered between calls.
public struct LakeReader: Sendable {
    private let store: any ObjectStore
    private let prefix: String
    private let settings: ReadSettings

    /// - Parameter prefix: the folder of the days, without slashes at its ends; empty for the root of the store.
    public init(store: any ObjectStore, prefix: String = "processed", settings: ReadSettings = ReadSettings())
    {
        self.store = store
        self.prefix = prefix.isEmpty ? "" : prefix + "/"
        self.settings = settings
    }

    /// The days that have at least one file, ascending.
    public func days() throws(ObjectStoreError) -> [LakeDay] {
        var days: [LakeDay] = []
        try forEachFile(after: nil) { file in
            if days.last != file.day { days.append(file.day) }
            return true
        }
        return days
    }

    /// The files of these days, ascending by day, then by key. Whatever is not at `yyyy/mm/dd/<name>.parquet`, or has
    /// a name that starts with `_` or `.`, is no part of the lake.
    public func files(in days: ClosedRange<LakeDay>) throws(ObjectStoreError) -> [LakeFile] {
        var files: [LakeFile] = []
        try forEachFile(after: prefix + days.lowerBound.path + "/") { file in
            guard file.day <= days.upperBound else { return false }
            files.append(file)
            return true
        }
        return files
    }

    /// Streams the rows of these days in batches, file by file, days ascending.
    ///
    /// Holds one row group of one file at a time, the bytes of the next, and the first bytes of a few files ahead
    /// (`ReadSettings`), whatever the range. The threads that fetch ahead end before the call does.
    ///
    /// - Parameters:
    ///   - columns: what every file must have.
    ///   - optionalColumns: what a file may lack: all null there.
    ///   - userID: only rows with this `user_id`; row groups that cannot hold it are not fetched.
    ///   - batchRows: rows of a batch, at most.
    ///   - isCancelled: asked before each file and each batch.
    ///   - body: called on this thread; what it throws ends the scan.
    /// - Throws: `LakeError` for a damaged file, a missing column or cancellation, the store's own `ObjectStoreError`.
    @discardableResult
    public func scan(
        days: ClosedRange<LakeDay>, columns: [String], optionalColumns: [String] = [], userID: String? = nil,
        batchRows: Int = 8192, isCancelled: () -> Bool = { false }, _ body: (RecordBatch) throws -> Void
    ) throws -> ScanStatistics {
        try scan(
            files: files(in: days), columns: columns, optionalColumns: optionalColumns, userID: userID,
            batchRows: batchRows, isCancelled: isCancelled, body)
    }

    /// The same for files that were listed before, in the order given.
    @discardableResult
    public func scan(
        files: [LakeFile], columns: [String], optionalColumns: [String] = [], userID: String? = nil,
        batchRows: Int = 8192, isCancelled: () -> Bool = { false }, _ body: (RecordBatch) throws -> Void
    ) throws -> ScanStatistics {
        precondition(batchRows > 0, "a batch has rows")
        let request = ScanRequest(
            columns: columns, optionalColumns: optionalColumns, userID: userID, batchRows: batchRows)
        var statistics = ScanStatistics()
        let readAhead = settings.requestsAhead > 0 ? ReadAhead(threads: settings.requestsAhead) : nil
        defer { readAhead?.stop() }
        // Sources of the file that is read and of those after it whose first request is under way.
        var sources: [ParquetSource] = []
        for (index, file) in files.enumerated() {
            if isCancelled() { throw LakeError.cancelled }
            while sources.count <= settings.requestsAhead, index + sources.count < files.count {
                sources.append(self.source(of: files[index + sources.count], readAhead: readAhead))
            }
            let source = sources.removeFirst()
            do {
                let scan = FileScan(request: request, source: source)
                try scan.run(
                    settings: settings, readAhead: readAhead, statistics: &statistics,
                    isCancelled: isCancelled, body)
            } catch {
                throw explained(error, file: file, source: source)
            }
            statistics.files += 1
            statistics.requests += source.counts.requests
            statistics.bytesFetched += source.counts.bytes
        }
        return statistics
    }

    private func source(of file: LakeFile, readAhead: ReadAhead?) -> ParquetSource {
        let source = ParquetSource(store: store, key: file.key, sizeBytes: file.sizeBytes)
        let first = settings.firstRange(sizeBytes: file.sizeBytes)
        if let readAhead, !first.isEmpty { source.fetchAhead(first, by: readAhead) }
        return source
    }

    /// A file that was replaced under the reader looks damaged, and is not.
    private func explained(_ error: any Error, file: LakeFile, source: ParquetSource) -> any Error {
        switch error {
        case LakeError.damaged, ObjectStoreError.failed:
            let now = try? store.head(file.key)
            return now.map { $0.tag != file.tag } ?? false ? LakeError.changed(file: source.name) : error
        default:
            return error
        }
    }

    /// Calls `body` with each file of the lake until it gives false, page by page.
    private func forEachFile(after: String?, _ body: (LakeFile) -> Bool) throws(ObjectStoreError) {
        let pageSize = 1000
        var after = after
        while true {
            let page = try store.list(prefix: prefix, after: after, limit: pageSize)
            for object in page {
                guard let file = lakeFile(object) else { continue }
                guard body(file) else { return }
            }
            guard page.count == pageSize else { return }
            after = page.last?.key
        }
    }

    private func lakeFile(_ object: ObjectSummary) -> LakeFile? {
        let dayLength = 10
        let path = object.key.dropFirst(prefix.count)
        guard path.hasSuffix(".parquet"), let day = LakeDay(path: path.prefix(dayLength)) else { return nil }
        let rest = path.dropFirst(dayLength)
        let name = rest.dropFirst()
        guard rest.first == "/", !name.contains("/"), let first = name.first, first != "_", first != "."
        else {
            return nil
        }
        return LakeFile(day: day, key: object.key, sizeBytes: object.sizeBytes, tag: object.tag)
    }
}
