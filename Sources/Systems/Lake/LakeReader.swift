import Exact
import ObjectStore

/// A Parquet file of the lake.
public struct LakeFile: Sendable, Hashable {
    public let day: LakeDay
    public let key: String
    public let sizeBytes: Int
    public let tag: VersionTag
}

/// Reads the lake: `<prefix>/yyyy/mm/dd/*.parquet` of an object store, and the same days as Hive names them.
///
/// Every call blocks its thread on the store: call from a thread of your own. Safe to use from several threads at
/// once. Of scans for some users it remembers what it fetched, for a while (`ReadSettings.recentBytes`); the store is
/// asked all the same whether a file is still the same.
public struct LakeReader: Sendable {
    private let store: any ObjectStore
    private let prefix: String
    private var settings: ReadSettings
    private let recent: RecentBytes
    private let zone: PlaceZone?

    /// - Parameters:
    ///   - prefix: the folder of the days, without slashes at its ends; empty for the root of the store.
    ///   - zone: of times that do not say theirs; nil: timestamps are UTC, texts are refused.
    public init(
        store: any ObjectStore, prefix: String = "processed", settings: ReadSettings = ReadSettings(),
        zone: PlaceZone? = nil
    ) {
        self.store = store
        self.prefix = prefix.isEmpty ? "" : prefix + "/"
        self.settings = settings
        recent = RecentBytes(maximumBytes: settings.recentBytes)
        self.zone = zone
    }

    /// What this reader does with a file that cannot be read.
    public var badFiles: BadFiles { settings.badFiles }

    /// The same reader, which remembers the same, but for what it does with a file that cannot be read.
    public func onBadFile(_ badFiles: BadFiles) -> LakeReader {
        var reader = self
        reader.settings.badFiles = badFiles
        return reader
    }

    /// The store, for people.
    public var location: String { store.location }

    /// The days that have at least one file, ascending.
    public func days() throws(ObjectStoreError) -> [LakeDay] {
        let all = LakeDay(dayNumber: -719_162)...LakeDay(dayNumber: 2_932_896)  // years 1 to 9999
        var days: [LakeDay] = []
        for file in try files(in: all) where days.last != file.day { days.append(file.day) }
        return days
    }

    /// The files of these days, ascending by day, then by key.
    ///
    /// A day is a folder `yyyy/mm/dd`, or as Hive has it `year=2026/month=03/day=01`, `date=2026-03-01`, `dt=2026-03-01`.
    /// Whatever does not lie in one, or does not end with `.parquet` in either case, or has a name that starts with `_`
    /// or `.`, is no part of the lake: `unreadKeys` names it.
    public func files(in days: ClosedRange<LakeDay>) throws(ObjectStoreError) -> [LakeFile] {
        var files: [LakeFile] = []
        try forEachObject(below: prefix, after: prefix + days.lowerBound.path + "/") { object in
            // Hive's folders come behind the digits and are listed apart: a file that is listed twice is read twice.
            guard isBeforeLetters(object.key) else { return false }
            guard let file = lakeFile(object) else { return true }
            guard file.day <= days.upperBound else { return false }
            if days.contains(file.day) { files.append(file) }
            return true
        }
        // Hive's folders are not in the order of days where a month has one digit.
        for folder in ["date=", "dt=", "year="] {
            try forEachObject(below: prefix + folder, after: nil) { object in
                if let file = lakeFile(object), days.contains(file.day) { files.append(file) }
                return true
            }
        }
        return files.sorted { ($0.day, $0.key) < ($1.day, $1.key) }
    }

    /// Keys of what lies in the lake and is not read, some of them: other folders, other endings. Not what starts with
    /// `_` or `.`, which nobody expects to be read.
    public func unreadKeys(limit: Int = 5) throws(ObjectStoreError) -> [String] {
        var keys: [String] = []
        for object in try store.list(prefix: prefix, after: nil, limit: 1000) where keys.count < limit {
            let isHidden = object.key.split(separator: "/").contains {
                $0.hasPrefix("_") || $0.hasPrefix(".")
            }
            if lakeFile(object) == nil, !isHidden, !object.key.hasSuffix("_$folder$") {
                keys.append(object.key)
            }
        }
        return keys
    }

    /// Some keys of the store, for whoever finds no lake in it.
    public func someKeys(limit: Int = 3) throws(ObjectStoreError) -> [String] {
        try store.list(prefix: "", after: nil, limit: limit).map(\.key)
    }

    /// Whether a key comes before those of Hive's folders, which are read apart.
    private func isBeforeLetters(_ key: String) -> Bool {
        key.utf8.dropFirst(prefix.utf8.count).first.map { $0 < UInt8(ascii: "d") } ?? true
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
    ///   - body: called on this thread; what it throws ends the scan, but for a `LakeError` of a file's first batch where
    ///     such files are skipped.
    /// - Throws: `LakeError` for a damaged file, a missing column or cancellation, the store's own `ObjectStoreError`.
    @discardableResult
    public func scan(
        days: ClosedRange<LakeDay>, columns: [String], optionalColumns: [String] = [], userID: String? = nil,
        batchRows: Int = 8192, isCancelled: () -> Bool = { false }, _ body: (RecordBatch) throws -> Void
    ) throws -> ScanStatistics {
        try scan(
            files: files(in: days), columns: columns, optionalColumns: optionalColumns,
            userIDs: userID.map { [$0] }, batchRows: batchRows, isCancelled: isCancelled, body)
    }

    /// The same for files that were listed before, in the order given.
    ///
    /// - Parameters:
    ///   - codedColumns: of texts that come again and again, which `RecordBatch.codedTexts` is asked for.
    ///   - userIDs: only rows of these users; nil: everybody's.
    ///   - begin: called on this thread before the batches of each file.
    @discardableResult
    public func scan(
        files: [LakeFile], columns: [String], optionalColumns: [String] = [], codedColumns: [String] = [],
        userIDs: Set<String>? = nil, batchRows: Int = 8192, isCancelled: () -> Bool = { false },
        begin: (LakeFile) throws -> Void = { _ in }, _ body: (RecordBatch) throws -> Void
    ) throws -> ScanStatistics {
        precondition(batchRows > 0, "a batch has rows")
        if let userIDs, userIDs.isEmpty { return ScanStatistics() }
        let request = ScanRequest(
            columns: columns, optionalColumns: optionalColumns,
            users: try userIDs.flatMap { users throws(LakeError) in try WantedTexts(users) },
            batchRows: batchRows, zone: zone, codedColumns: codedColumns)
        var statistics = ScanStatistics()
        let readAhead = settings.requestsAhead > 0 ? ReadAhead(threads: settings.requestsAhead) : nil
        defer { readAhead?.stop() }
        // Sources of the file that is read and of those after it whose first request is under way.
        var sources: [ParquetSource] = []
        for (index, file) in files.enumerated() {
            if isCancelled() { throw LakeError.cancelled }
            while sources.count <= settings.requestsAhead, index + sources.count < files.count {
                sources.append(
                    self.source(
                        of: files[index + sources.count], readAhead: readAhead,
                        isKept: request.users != nil))
            }
            var source = sources.removeFirst()
            func read(_ body: (RecordBatch) throws -> Void) throws {
                try self.read(file, source, request, readAhead, &statistics, isCancelled, body)
            }
            guard settings.badFiles == .skip else {
                try begin(file)
                try read(body)
                statistics.files += 1
                continue
            }
            var isUsed = false
            let before = statistics
            do {
                // To its end before anything of it is used: a file counts whole or not at all.
                try read { _ in }
                statistics.forgetRows(since: before)
                source = self.source(of: file, readAhead: nil, isKept: request.users != nil)
                try begin(file)
                try read {
                    try body($0)
                    isUsed = true
                }
                statistics.files += 1
            } catch let error as LakeError where error.isOfFile && !isUsed {
                statistics.forgetRows(since: before)
                statistics.skip("\(error)")
            }
        }
        return statistics
    }

    private func read(
        _ file: LakeFile, _ source: ParquetSource, _ request: ScanRequest, _ readAhead: ReadAhead?,
        _ statistics: inout ScanStatistics, _ isCancelled: () -> Bool, _ body: (RecordBatch) throws -> Void
    ) throws {
        defer {
            statistics.requests += source.counts.requests
            statistics.bytesFetched += source.counts.bytes
        }
        do {
            let scan = FileScan(request: request, source: source)
            try scan.run(
                settings: settings, readAhead: readAhead, statistics: &statistics,
                isCancelled: isCancelled, body)
        } catch {
            throw explained(error, file: file, source: source)
        }
        // One answer is of one file; parts of several answers may be of several.
        if source.counts.requests > 1, try store.head(file.key)?.tag != file.tag {
            throw LakeError.changed(file: source.name)
        }
    }

    private func source(of file: LakeFile, readAhead: ReadAhead?, isKept: Bool) -> ParquetSource {
        let source = ParquetSource(
            store: store, key: file.key, sizeBytes: file.sizeBytes,
            recent: isKept ? RecentBytes.File(recent: recent, key: file.key, tag: file.tag) : nil)
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

    /// Calls `body` with each object until it gives false, page by page.
    private func forEachObject(
        below prefix: String, after: String?, _ body: (ObjectSummary) -> Bool
    ) throws(ObjectStoreError) {
        let pageSize = 1000
        var after = after
        while true {
            let page = try store.list(prefix: prefix, after: after, limit: pageSize)
            for object in page { guard body(object) else { return } }
            guard page.count == pageSize else { return }
            after = page.last?.key
        }
    }

    private func lakeFile(_ object: ObjectSummary) -> LakeFile? {
        var folders = object.key.dropFirst(prefix.count).split(
            separator: "/", omittingEmptySubsequences: false)
        guard let name = folders.popLast(), let first = name.first, first != "_", first != ".",
            name.lowercased().hasSuffix(".parquet"), let day = LakeDay(folders: folders)
        else { return nil }
        return LakeFile(day: day, key: object.key, sizeBytes: object.sizeBytes, tag: object.tag)
    }
}

extension LakeDay {
    /// The day of the folders that a file lies in: `2026`, `03`, `01`, or Hive's with names and without zeros.
    fileprivate init?(folders: [Substring]) {
        switch folders.count {
        case 1:
            let parts = folders[0].split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0] == "date" || parts[0] == "dt" else { return nil }
            self.init(parsing: String(parts[1]))
        case 3 where folders[0].utf8.starts(with: "year=".utf8):
            func number(_ folder: Substring, _ name: String) -> Int? {
                let parts = folder.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, parts[0] == name, parts[1].utf8.allSatisfy({ $0 >= 48 && $0 <= 57 })
                else { return nil }
                return Int(parts[1])
            }
            guard let year = number(folders[0], "year"), let month = number(folders[1], "month"),
                let day = number(folders[2], "day")
            else { return nil }
            self.init(year: year, month: month, day: day)
        case 3: self.init(path: folders.joined(separator: "/"))
        default: return nil
        }
    }
}
