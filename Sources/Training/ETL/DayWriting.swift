import Lake
import ObjectStore
import Transactions

/// Writes the lake's days: leaves out transactions that the day has already, and removes files that earlier runs wrote
/// and this one did not.
struct DayWriting {
    private let lake: any ObjectStore
    /// In the order in which sources were read.
    private let sourceNames: [String]
    private let ourNames: Set<String>
    /// Sources that have rows which cannot be read.
    private let damaged: Set<String>
    private let limits: ETL.Limits

    private(set) var transactions = 0
    private(set) var duplicates = 0
    /// Files of the lake that could not be read and whose ids are not known.
    private(set) var skipped: [String] = []
    /// Files of the lake before this run, by day.
    private var before: [LakeDay: [LakeFile]] = [:]
    private var written: Set<String> = []

    /// The file that is being filled.
    private struct Filling {
        var source = -1
        var number = 0
        var batch = TransactionBatch()
        var labels: [Int8] = []
        var textBytes = 0
    }

    /// - Parameters:
    ///   - damaged: Names of sources with rejected rows: what they gave earlier and do not give now may be among those.
    ///   - refused: Those of them that gave no row. Their files in the lake are then like those of others: they stay, and
    ///     their transactions go before ours.
    init(
        lake: any ObjectStore, sourceNames: [String], damaged: Set<String>, refused: Set<String>,
        limits: ETL.Limits
    ) {
        self.lake = lake
        self.sourceNames = sourceNames
        self.damaged = damaged
        ourNames = Set(sourceNames).subtracting(refused)
        self.limits = limits
    }

    /// Lists what the lake has.
    mutating func begin() throws {
        let all = LakeDay(dayNumber: -719_162)...LakeDay(dayNumber: 2_932_896)  // years 1 to 9999
        before = Dictionary(grouping: try LakeReader(store: lake).files(in: all), by: \.day)
    }

    mutating func write(_ day: LakeDay, _ aside: inout RowsByDay) throws {
        guard aside.count(day) <= limits.dayIDs else { return try writeLarge(day, &aside) }
        var known: Set<IDDigest> = []
        try eachForeignID(of: day) { known.insert($0) }
        try write(day, &aside) { _, id in !known.insert(IDDigest(id)).inserted }
    }

    /// A day of so many rows that a table of their ids would not fit: which of them are repeated is found out first.
    private mutating func writeLarge(_ day: LakeDay, _ aside: inout RowsByDay) throws {
        var ids = RepeatedRows(
            rows: aside.count(day), idsAtATime: limits.dayIDs, scratch: limits.scratchFolder,
            memoryBytes: limits.memoryBytes / 4)
        try eachForeignID(of: day) { try ids.addForeign($0) }
        try aside.visit(day) { record in
            if let id = record.text(.transactionID) { try ids.add(IDDigest(id)) }
        }
        let repeated = try ids.repeated().bits
        try write(day, &aside) { row, _ in repeated[row] }
    }

    /// - Parameter isRepeated: Told the number of each row that has an id, and the id.
    private mutating func write(
        _ day: LakeDay, _ aside: inout RowsByDay,
        isRepeated: (Int, UnsafeBufferPointer<UInt8>) -> Bool
    ) throws {
        var filling = Filling()
        var row = 0
        try aside.take(day) { record in
            let limitReached =
                filling.batch.count >= limits.fileRows || filling.textBytes >= limits.fileTextBytes
            if record.source != filling.source || limitReached {
                try write(&filling, day)
                if record.source != filling.source { filling.number = 0 }
                filling.source = record.source
            }
            guard let id = record.text(.transactionID) else {
                duplicates += 1
                return
            }
            defer { row += 1 }
            guard !isRepeated(row, id) else {
                duplicates += 1
                return
            }
            for field in TextField.allCases { filling.textBytes += record.text(field)?.count ?? 0 }
            record.append(to: &filling.batch)
            filling.labels.append(record.label)
        }
        try write(&filling, day)
    }

    private mutating func write(_ filling: inout Filling, _ day: LakeDay) throws {
        guard filling.batch.count > 0 else { return }
        let number = filling.number == 0 ? "" : "-\(filling.number + 1)"
        let key = "processed/\(day.path)/part-\(sourceNames[filling.source])\(number).parquet"
        try lake.putIfDifferent(
            key, try TransactionColumns.parquetFile(filling.batch, labels: filling.labels))
        written.insert(key)
        transactions += filling.batch.count
        filling.number += 1
        filling.batch.removeAll(keepingCapacity: true)
        filling.labels.removeAll(keepingCapacity: true)
        filling.textBytes = 0
    }

    /// Removes files that our sources gave in an earlier run and no longer give, but not those of a damaged source.
    ///
    /// - Returns: The keys of those that stay.
    func removeStale() throws -> [String] {
        var kept: [String] = []
        for file in before.values.joined().sorted(by: { $0.key < $1.key }) where !written.contains(file.key) {
            guard let source = source(of: file), damaged.contains(source) || ourNames.contains(source) else {
                continue
            }
            if damaged.contains(source) {
                kept.append(file.key)
            } else {
                try lake.delete(file.key)
            }
        }
        return kept
    }

    /// Ids in the day's files that none of our sources gave.
    private mutating func eachForeignID(of day: LakeDay, _ body: (IDDigest) throws -> Void) throws {
        let files = before[day, default: []].filter { !isOurs($0) }
        let reader = LakeReader(store: lake).onBadFile(limits.badFiles)
        let statistics = try reader.scan(files: files, columns: [TransactionColumns.transactionID]) { batch in
            let ids = try batch.texts(TransactionColumns.transactionID)
            try ids.visit { _, id in if let id { try body(IDDigest(id)) } }
        }
        skipped += statistics.skipReasons
    }

    private func isOurs(_ file: LakeFile) -> Bool { source(of: file).map(ourNames.contains) ?? false }

    /// The name of the source in the name of a file that a run of ours wrote.
    private func source(of file: LakeFile) -> String? {
        let name = file.key.split(separator: "/").last ?? ""
        guard name.hasPrefix("part-") else { return nil }
        return String(name.dropFirst(5).prefix(ETL.nameLength))
    }
}
