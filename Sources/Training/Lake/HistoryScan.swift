import Exact
import Features
import Foundation
import Lake
import ObjectStore
import Outcomes
import Transactions

/// What the lake has of the days in range and the warm-up days before: rows in parts by user.
///
/// All rows of a user are in one part, so that parts can be worked on one by one, each in bounded memory.
struct History {
    let parts: SpillFiles
    let users: HistoryUsers
    let categories: CategoryNames
    /// First and last event time of the rows in range; nil when there are none.
    let span: ClosedRange<Int64>?
    /// Rows in range.
    let rowCount: Int
    /// Labels of them, of those known.
    let known: KnownLabels
    /// Rows of files in range whose time lies outside the range and its warm-up days.
    let strayRows: Int
    /// Rows that are no transactions.
    let passedOver: PassedOverRows
    /// Whether each row of a part is followed by what reference tables said of it.
    let hasReferences: Bool
    let reading: LakeReading
    /// A transaction up to then that nobody has labelled counts as genuine. Milliseconds since 1970 UTC.
    let genuineUntil: Int64
    /// Both of each user apart, where only some users' rows were read: who else was asked for is chance.
    let labelsOfUser: [UInt32: LabelsOfUser]?

    struct LabelsOfUser: Sendable {
        var known = KnownLabels()
        var genuineUntil = Int64.min
    }

    /// A user's part is the catalogue's shard of the user, see `HistoryUsers.part`.
    static let partCount = 256

    /// Reads a part, which is then gone.
    func takePart(_ part: Int) throws -> HistoryPart {
        var taken = HistoryPart()
        let stride = MemoryLayout<HistoryRow>.stride
        let size = stride + (hasReferences ? ReferencePast.width * MemoryLayout<Float>.size : 0)
        try parts.take(part, recordSize: size) { bytes in
            taken.rows.reserveCapacity(taken.rows.count + bytes.count / size)
            for offset in Swift.stride(from: 0, to: bytes.count, by: size) {
                var row = bytes.loadUnaligned(fromByteOffset: offset, as: HistoryRow.self)
                let until = labelsOfUser.map { $0[row.user]?.genuineUntil ?? .min } ?? genuineUntil
                if row.label < 0, row.timestampMilliseconds <= until { row.label = 0 }
                taken.rows.append(row)
                for place in Swift.stride(
                    from: offset + stride, to: offset + size, by: MemoryLayout<Float>.size)
                {
                    taken.references.append(bytes.loadUnaligned(fromByteOffset: place, as: Float.self))
                }
            }
        }
        return taken
    }
}

/// How many rows somebody has labelled.
struct KnownLabels: Sendable, Hashable {
    private(set) var frauds = 0
    private(set) var genuine = 0

    mutating func add(_ label: Int32) {
        if label > 0 { frauds += 1 } else if label == 0 { genuine += 1 }
    }

    /// For the artifact's header and the job's answer.
    var metrics: [String: Double] {
        ["labelled_frauds": Double(frauds), "labelled_genuine": Double(genuine)]
    }
}

/// Rows of some users, with `ReferencePast.width` reference features each, or none at all.
struct HistoryPart: Sendable {
    var rows: [HistoryRow] = []
    var references: [Float] = []

    /// One user's rows.
    struct OfUser: Sendable {
        /// In `HistoryUsers`.
        let number: UInt32
        let rows: HistoryPart
        /// Labels of those in range.
        let known: KnownLabels
    }

    /// The rows of each user apart, by the users' numbers.
    func byUser(
        _ labels: [UInt32: History.LabelsOfUser]?, where isWanted: (UInt32) -> Bool
    ) -> [OfUser] {
        let width = ReferencePast.width
        var parts: [UInt32: HistoryPart] = [:]
        for (index, row) in rows.enumerated() {
            parts[row.user, default: HistoryPart()].rows.append(row)
            guard !references.isEmpty else { continue }
            parts[row.user, default: HistoryPart()].references.append(
                contentsOf: references[index * width..<(index + 1) * width])
        }
        return parts.filter { isWanted($0.key) }.map { number, rows in
            OfUser(number: number, rows: rows, known: labels?[number]?.known ?? KnownLabels())
        }.sorted { $0.number < $1.number }
    }
}

/// What threads that work on parts share; immutable.
struct HistoryNames: Sendable {
    let users: HistoryUsers
    let categories: CategoryNames
    let span: ClosedRange<Int64>?

    init(_ history: History) {
        users = history.users
        categories = history.categories
        span = history.span
    }
}

/// Stage 1: one pass over the lake's files of these days, only the columns needed, and for some users only the row
/// groups that may hold them.
struct HistoryScan {
    let reader: LakeReader
    /// Days in range.
    let days: ClosedRange<LakeDay>
    /// Days before the range, which fill the windows and give no rows.
    let warmUpDays: Int
    /// Whose rows are wanted; nil: everybody's. With references all are read: one user's rows say nothing of merchants.
    let userIDs: Set<String>?
    let scratch: String
    let memoryBytes: Int
    /// What is known of transactions besides what came with them.
    var labels = LabelIndex.none
    /// nil: rows get no reference features.
    var references: ReferencePast?

    /// - Parameter progress: Told the finished part.
    func run(isCancelled: () -> Bool, progress: (Double) -> Void) throws -> History {
        if reader.badFiles == .skip {
            // A sound lake is read once; only where a file is bad are all tried before they are used.
            do {
                return try run(reader.onBadFile(.fail), isCancelled: isCancelled, progress: progress)
            } catch let error as LakeError where error.isOfFile {}
        }
        return try run(reader, isCancelled: isCancelled, progress: progress)
    }

    private func run(
        _ reader: LakeReader, isCancelled: () -> Bool, progress: (Double) -> Void
    ) throws -> History {
        var rows = Rows(scan: self)
        let first = days.lowerBound.adding(days: -warmUpDays)
        try rows.references?.warmUp(before: first, reader: reader, labels: labels, isCancelled: isCancelled)
        let files = try reader.files(in: first...days.upperBound)
        let sizeBytes = max(1, files.reduce(0) { $0 + $1.sizeBytes })
        var readBytes = 0
        var statistics = try reader.scan(
            files: files, columns: TransactionColumns.required,
            optionalColumns: TransactionColumns.optional,
            userIDs: references == nil ? userIDs : nil, isCancelled: isCancelled,
            begin: { file in
                if file.day != rows.day { try rows.finishDay() }
                rows.day = file.day
                progress(Double(readBytes) / Double(sizeBytes))
                readBytes += file.sizeBytes
            }, { try rows.add($0) })
        progress(1)
        try rows.finishDay()
        if let warmUp = rows.references?.reading { statistics.add(warmUp) }
        let reading = LakeReading(statistics)
        reading.count()
        return History(
            parts: rows.parts, users: rows.users, categories: rows.categories, span: rows.span,
            rowCount: rows.rowCount, known: rows.known, strayRows: rows.strayRows,
            passedOver: rows.passedOver,
            hasReferences: references != nil, reading: reading,
            genuineUntil: rows.maturity.genuineUntil(labels),
            labelsOfUser: rows.ofUser?.mapValues {
                History.LabelsOfUser(known: $0.known, genuineUntil: $0.maturity.genuineUntil(labels))
            })
    }

    /// What the scan has found so far.
    private struct Rows {
        let parts: SpillFiles
        let range: Range<Int64>
        let warmUpStart: Int64
        let labels: LabelIndex
        var references: ReferencePast?
        var maturity = LabelMaturity()
        var ofUser: [UInt32: (maturity: LabelMaturity, known: KnownLabels)]?
        /// The folder that is being read, and its rows as far as references need them together.
        var day: LakeDay?
        var ofDay = ReferencePast.Day()
        var users = HistoryUsers()
        var categories = CategoryNames()
        var span: ClosedRange<Int64>?
        var rowCount = 0
        var known = KnownLabels()
        var strayRows = 0
        var passedOver = PassedOverRows()

        init(scan: HistoryScan) {
            labels = scan.labels
            references = scan.references
            ofUser = scan.userIDs.map { _ in [:] }
            parts = SpillFiles(keys: History.partCount, scratch: scan.scratch, budgetBytes: scan.memoryBytes)
            range =
                scan.days.lowerBound
                .startMilliseconds..<scan.days.upperBound.adding(days: 1).startMilliseconds
            warmUpStart = scan.days.lowerBound.adding(days: -scan.warmUpDays).startMilliseconds
        }

        mutating func add(_ batch: RecordBatch) throws {
            let ids = try batch.texts(TransactionColumns.userID)
            let transactions = try hashes(batch, TransactionColumns.transactionID)
            let amounts = try batch.readReals(TransactionColumns.amount)
            let times = try batch.readTimestamps(TransactionColumns.timestamp)
            let latitudes = try batch.readReals(TransactionColumns.latitude)
            let longitudes = try batch.readReals(TransactionColumns.longitude)
            let own = try batch.readLabels(TransactionColumns.label)
            let merchants = try hashes(batch, TextField.merchantID.key)
            let devices = try hashes(batch, TextField.deviceID.key)
            let countries = try namedHashes(batch, TextField.country.key)
            let kinds = try namedHashes(batch, TextField.category.key)
            let channels = try namedHashes(batch, TextField.channel.key)
            let currencies = try namedHashes(batch, TextField.currency.key)
            for row in 0..<batch.count {
                let check = RowCheck(batch: batch, row: row)
                guard
                    check.isTransaction(
                        ids, amounts, times, latitudes, longitudes, own, &passedOver)
                else {
                    continue
                }
                let user = ids.withBytes(row) { id in
                    users.find(id ?? UnsafeBufferPointer(start: nil, count: 0))
                }
                let found = HistoryRow(
                    timestampMilliseconds: times.values[row], amount: amounts.values[row],
                    latitude: latitudes.values[row], longitude: longitudes.values[row],
                    merchant: merchants[row], country: countries[row],
                    device: devices[row], category: kinds[row], channel: channels[row],
                    currency: currencies[row], transaction: transactions[row], user: user.index,
                    label: label(
                        transactions[row], of: user.index, own: own.values[row], at: times.values[row]))
                if references == nil {
                    try keep(found)
                } else {
                    ofDay.append(found, userHash: user.hash, own: own.values[row])
                }
            }
        }

        /// Gives the rows of the day what tables said of them.
        mutating func finishDay() throws {
            guard let day, references != nil else { return }
            let values = references?.values(of: ofDay, day: day, labels: labels) ?? []
            for index in ofDay.rows.indices {
                let width = ReferencePast.width
                try keep(
                    ofDay.rows[index], references: values[index * width..<(index + 1) * width])
            }
            ofDay.removeAll()
        }

        /// The label that stands, of those known: 1 anomalous, 0 not, -1 unknown.
        private mutating func label(
            _ transaction: UInt64, of user: UInt32, own: Int8, at time: Int64
        ) -> Int32 {
            let history = labels.history(of: transaction)
            guard let last = history.last else {
                // What came with a transaction was known when it happened.
                return time <= labels.asOfMilliseconds ? Int32(own) : -1
            }
            if last.isFraud {
                maturity.add(delay: last.knownAt - time)
                ofUser?[user, default: (LabelMaturity(), KnownLabels())].maturity.add(
                    delay: last.knownAt - time)
            }
            return last.isFraud ? 1 : 0
        }

        private mutating func keep(_ row: HistoryRow, references: ArraySlice<Float> = []) throws {
            let time = row.timestampMilliseconds
            // Days are told apart by event time; a file may hold rows of other days.
            if time < warmUpStart || time >= range.upperBound { strayRows += 1 }
            guard time < range.upperBound else { return }
            if time >= range.lowerBound {
                rowCount += 1
                known.add(row.label)
                ofUser?[row.user, default: (LabelMaturity(), KnownLabels())].known.add(row.label)
                span = min(span?.lowerBound ?? time, time)...max(span?.upperBound ?? time, time)
            }
            let part = users.part(row.user)
            try withUnsafeBytes(of: row) { row in
                try references.withUnsafeBytes { try parts.append(row, and: $0, to: part) }
            }
        }

        private func hashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            Self.hashes(try batch.texts(name)) { _, _ in }
        }

        /// Hashes of categories, whose texts are kept.
        private mutating func namedHashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            let texts = try batch.texts(name)
            return Self.hashes(texts) { categories.add($0, $1) }
        }

        /// Of each row's text; 0: there is none.
        ///
        /// - Parameter met: Told of a text that differs from those of the rows before, or may.
        private static func hashes(
            _ texts: TextColumn, met: (UInt64, UnsafeBufferPointer<UInt8>) -> Void
        ) -> [UInt64] {
            [UInt64](unsafeUninitializedCapacity: texts.count) { hashes, count in
                // Files are sorted by user, of whom a few things stay the same; categories are few.
                var known = KnownTexts()
                texts.visit { row, text in
                    var hash: UInt64 = 0
                    if let text {
                        if let found = known.hash(of: text) {
                            hash = found
                        } else {
                            if !ValueText.isMissing(text) {
                                hash = TextHash.hash(UnsafeRawBufferPointer(text))
                                met(hash, text)
                            }
                            known.add(text, hash)
                        }
                    }
                    hashes[row] = hash
                }
                count = texts.count
            }
        }
    }
}

/// Hashes of the few texts that were met last, by their length and last byte. The texts are borrowed, from one column.
private struct KnownTexts {
    private struct Place {
        var text = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        var hash: UInt64 = 0
    }

    private static let size = 16
    /// Longer ones seldom come twice, and comparing them takes long.
    private static let longest = 64

    private var places = [Place](repeating: Place(), count: size)

    private func place(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard let last = text.last, text.count <= Self.longest else { return nil }
        return (Int(last) &+ 5 &* text.count) & (Self.size - 1)
    }

    func hash(of text: UnsafeBufferPointer<UInt8>) -> UInt64? {
        guard let place = place(text), let start = text.baseAddress else { return nil }
        let known = places[place]
        guard known.text.count == text.count, let other = known.text.baseAddress,
            memcmp(start, other, text.count) == 0
        else { return nil }
        return known.hash
    }

    mutating func add(_ text: UnsafeBufferPointer<UInt8>, _ hash: UInt64) {
        if let place = place(text) { places[place] = Place(text: text, hash: hash) }
    }
}
