import Lake
import ObjectStore
import Outcomes
import Transactions

/// Writes the lake's days: leaves out transactions that the day has already, refuses those whose id another one has, and
/// removes files that earlier runs wrote and this one did not.
struct DayWriting {
    private let lake: any ObjectStore
    /// In the order in which they were read.
    private let sources: [ETL.Source]
    private let ourNames: Set<String>
    private let earlier: EarlierLabels
    /// How long after a transaction its own label became known; nil: with it, and it stays in its row. Milliseconds.
    private let labelDelay: Int64?
    private let limits: ETL.Limits

    private(set) var transactions = 0
    private(set) var duplicates = 0
    private(set) var labels = 0
    /// Transactions whose id another one of their day has.
    private(set) var conflicts: RejectedRows
    private(set) var firstConflict: String?
    /// Files of the lake that could not be read and whose ids are not known.
    private(set) var skipped: [String] = []
    /// Files of the lake before this run, by day.
    private var before: [LakeDay: [LakeFile]] = [:]
    /// Keys of days' files and of labels' files.
    private var written: Set<String> = []

    /// No source has such a name: theirs are digests.
    private static let conflictsName = "repeated-ids"
    private static let conflict =
        "transaction_id: it is another transaction's of that day; give each one its own"

    /// The file that is being filled, and the labels of its transactions.
    private struct Filling {
        var source = -1
        var number = 0
        var batch = TransactionBatch()
        var labels: [Int8] = []
        var textBytes = 0
        var ownLabels: LabelWriting?
    }

    init(
        lake: any ObjectStore, sources: [ETL.Source], earlier: EarlierLabels, labelDelay: Int64?,
        limits: ETL.Limits
    ) {
        self.lake = lake
        self.sources = sources
        self.earlier = earlier
        self.labelDelay = labelDelay
        self.limits = limits
        ourNames = Set(sources.lazy.filter { !$0.isRefused }.map(\.name))
        conflicts = RejectedRows(
            store: lake, name: Self.conflictsName, limitBytes: limits.rejectedBytes)
    }

    /// Lists what the lake has.
    mutating func begin() throws {
        let all = LakeDay(dayNumber: -719_162)...LakeDay(dayNumber: 2_932_896)  // years 1 to 9999
        before = Dictionary(grouping: try LakeReader(store: lake).files(in: all), by: \.day)
    }

    mutating func write(_ day: LakeDay, _ aside: inout RowsByDay) throws {
        guard aside.count(day) <= limits.dayIDs else { return try writeLarge(day, &aside) }
        var known = KnownIDs()
        try eachForeignID(of: day) { _ = known.add($0, $1) }
        try write(day, &aside) { known.add(IDDigest($2), Self.content(of: $1)) }
    }

    /// A day of so many rows that a table of their ids would not fit: which of them are repeated is found out first.
    private mutating func writeLarge(_ day: LakeDay, _ aside: inout RowsByDay) throws {
        var ids = RepeatedRows(
            rows: aside.count(day), idsAtATime: limits.dayIDs, scratch: limits.scratchFolder,
            memoryBytes: limits.memoryBytes / 4)
        try eachForeignID(of: day) { try ids.addForeign($0, $1) }
        try aside.visit(day) { record in
            if let id = record.text(.transactionID) {
                try ids.add(IDDigest(id), Self.content(of: record))
            }
        }
        let found = try ids.found()
        try write(day, &aside) { row, _, _ in found[row] }
    }

    private static func content(of record: SpilledTransaction.Record) -> ContentDigest {
        guard let user = record.text(.userID) else { return .unknown }
        return ContentDigest(
            user: user, amount: record.amount, timestampMilliseconds: record.timestampMilliseconds)
    }

    /// - Parameter occurrence: Told the number of each row that has an id, the row, and the id.
    private mutating func write(
        _ day: LakeDay, _ aside: inout RowsByDay,
        occurrence: (Int, SpilledTransaction.Record, UnsafeBufferPointer<UInt8>) -> Occurrence
    ) throws {
        var filling = Filling()
        var row = 0
        try aside.take(day) { record in
            let limitReached =
                filling.batch.count >= limits.fileRows || filling.textBytes >= limits.fileTextBytes
            if record.source != filling.source || limitReached {
                try write(&filling, day)
                if record.source != filling.source { try begin(record.source, &filling, day) }
            }
            guard let id = record.text(.transactionID) else {
                duplicates += 1
                return
            }
            defer { row += 1 }
            switch occurrence(row, record, id) {
            case .first:
                for field in TextField.allCases { filling.textBytes += record.text(field)?.count ?? 0 }
                record.append(to: &filling.batch)
                filling.labels.append(labelDelay == nil ? record.label : -1)
            case .repeated: duplicates += 1
            case .conflicting: return try refuse(record)
            }
            // Of a repeated one, too: the first may have come without.
            guard record.label >= 0, let labelDelay else { return }
            try filling.ownLabels?.add(
                Label(
                    transactionID: String(decoding: id, as: UTF8.self), isFraud: record.label == 1,
                    knownMilliseconds: record.timestampMilliseconds + labelDelay,
                    source: TransactionColumns.label))
        }
        try write(&filling, day)
        try finishLabels(&filling)
    }

    private mutating func begin(_ source: Int, _ filling: inout Filling, _ day: LakeDay) throws {
        try finishLabels(&filling)
        filling.source = source
        filling.number = 0
        filling.ownLabels = LabelWriting(lake: lake, name: "\(ownName(sources[source]))-\(day)")
    }

    private mutating func finishLabels(_ filling: inout Filling) throws {
        guard var writing = filling.ownLabels else { return }
        try writing.finish()
        written.formUnion(writing.keys)
        labels += writing.count
        filling.ownLabels = nil
    }

    private func ownName(_ source: ETL.Source) -> String { "own-\(source.name)" }

    private mutating func refuse(_ record: SpilledTransaction.Record) throws {
        let key = sources[record.source].key
        if firstConflict == nil { firstConflict = "\(key), line \(record.line)" }
        var batch = TransactionBatch()
        record.append(to: &batch)
        var json = batch.transaction(0).json()
        if record.label >= 0 {
            json = json.dropLast() + ",\"\(TransactionColumns.label)\":\(record.label == 1)}"
        }
        try Array(json.utf8).withUnsafeBufferPointer {
            try conflicts.add(
                RejectedRow(
                    source: key, line: record.line,
                    reason: Self.conflict, bytes: $0))
        }
    }

    private mutating func write(_ filling: inout Filling, _ day: LakeDay) throws {
        guard filling.batch.count > 0 else { return }
        let number = filling.number == 0 ? "" : "-\(filling.number + 1)"
        let key = "processed/\(day.path)/part-\(sources[filling.source].name)\(number).parquet"
        try lake.putIfDifferent(
            key, try TransactionColumns.parquetFile(filling.batch, labels: filling.labels))
        written.insert(key)
        transactions += filling.batch.count
        filling.number += 1
        filling.batch.removeAll(keepingCapacity: true)
        filling.labels.removeAll(keepingCapacity: true)
        filling.textBytes = 0
    }

    /// No day is written any more.
    mutating func finish() throws { try conflicts.finish() }

    /// Removes files that our sources gave in an earlier run and no longer give, but not those of a damaged source.
    ///
    /// - Returns: The keys of those that stay.
    func removeStale() throws -> [String] {
        var kept: [String] = []
        let isDamaged = Dictionary(uniqueKeysWithValues: sources.map { ($0.name, $0.isDamaged) })
        for file in before.values.joined().sorted(by: { $0.key < $1.key }) where !written.contains(file.key) {
            guard let name = source(of: file), let isDamaged = isDamaged[name] else { continue }
            if isDamaged {
                kept.append(file.key)
            } else {
                try lake.delete(file.key)
            }
        }
        for source in sources {
            kept += try earlier.removeStale(
                of: ownName(source), written: written, isDamaged: source.isDamaged)
        }
        return kept
    }

    /// Ids in the day's files that none of our sources gave, and what their transactions are.
    private mutating func eachForeignID(
        of day: LakeDay, _ body: (IDDigest, ContentDigest) throws -> Void
    ) throws {
        let files = before[day, default: []].filter { !isOurs($0) }
        let reader = LakeReader(store: lake, zone: limits.zone).onBadFile(limits.badFiles)
        let statistics = try reader.scan(
            files: files, columns: [TransactionColumns.transactionID],
            optionalColumns: [
                TransactionColumns.userID, TransactionColumns.amount, TransactionColumns.timestamp,
            ]
        ) { batch in
            // Others' files may lack what is no id, or have something else there.
            let users = try? batch.texts(TransactionColumns.userID)
            let amounts = try? batch.readReals(TransactionColumns.amount)
            let times = try? batch.readTimestamps(TransactionColumns.timestamp)
            let ids = try batch.texts(TransactionColumns.transactionID)
            try ids.visit { row, id in
                guard let id else { return }
                var content = ContentDigest.unknown
                if let users, let amounts, let times, amounts.hasValue(row), times.hasValue(row) {
                    users.withBytes(row) { user in
                        guard let user else { return }
                        content = ContentDigest(
                            user: user, amount: amounts.values[row], timestampMilliseconds: times.values[row])
                    }
                }
                try body(IDDigest(id), content)
            }
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
