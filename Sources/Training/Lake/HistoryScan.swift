import Exact
import Features
import Foundation
import Lake
import ObjectStore
import Outcomes
import Transactions

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
        if let warmUp = rows.references?.passedOver { rows.passedOver.add(warmUp) }
        let files = try reader.files(in: first...days.upperBound)
        let sizeBytes = max(1, files.reduce(0) { $0 + $1.sizeBytes })
        var readBytes = 0
        var statistics = try reader.scan(
            files: files, columns: TransactionColumns.required,
            optionalColumns: TransactionColumns.optional,
            codedColumns: TransactionColumns.repeated,
            userIDs: references == nil ? userIDs : nil, isCancelled: isCancelled,
            begin: { file in
                if file.day != rows.day { try rows.finishDay() }
                rows.day = file.day
                progress(Double(readBytes) / Double(sizeBytes))
                readBytes += file.sizeBytes
            }, { try rows.add($0) })
        progress(1)
        try rows.finishDay()
        try rows.parts.finish()
        if let warmUp = rows.references?.reading { statistics.add(warmUp) }
        statistics.addSkipped(of: labels.reading)
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
            parts = SpillFiles(
                keys: History.partCount * History.pieceCount, scratch: scan.scratch,
                budgetBytes: scan.memoryBytes)
            range =
                scan.days.lowerBound
                .startMilliseconds..<scan.days.upperBound.adding(days: 1).startMilliseconds
            warmUpStart = scan.days.lowerBound.adding(days: -scan.warmUpDays).startMilliseconds
        }

        mutating func add(_ batch: RecordBatch) throws {
            var ids = try BatchIDs(batch)
            let transactions = Self.hashesOfDifferent(try batch.texts(TransactionColumns.transactionID))
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
            let isSound = RowCheck.areSound(amounts, times, latitudes, longitudes, own)
            // Arrays at hand: asked row by row the columns would be counted as many times.
            let (amountValues, timeValues) = (amounts.values, times.values)
            let (latitudeValues, longitudeValues) = (latitudes.values, longitudes.values)
            let ownValues = own.values
            for row in 0..<batch.count {
                let user: (index: UInt32, hash: UInt64)
                // Whose earlier row was a transaction has an id that is one.
                if isSound, let known = ids.known(row) {
                    user = known
                } else {
                    let isTransaction = ids.withBytes(row) { id in
                        RowCheck(batch: batch, row: row).isTransaction(
                            id, amounts, times, latitudes, longitudes, own, &passedOver)
                    }
                    guard isTransaction else { continue }
                    user = ids.withBytes(row) { users.find($0 ?? .init(start: nil, count: 0)) }
                    ids.note(user, row)
                }
                let found = HistoryRow(
                    timestampMilliseconds: timeValues[row], amount: amountValues[row],
                    latitude: latitudeValues[row], longitude: longitudeValues[row],
                    merchant: merchants[row], country: countries[row],
                    device: devices[row], category: kinds[row], channel: channels[row],
                    currency: currencies[row], transaction: transactions[row], user: user.index,
                    label: label(
                        transactions[row], of: user.index, own: ownValues[row], at: timeValues[row]))
                if references == nil {
                    try keep(found)
                } else {
                    ofDay.append(found, userHash: user.hash, own: ownValues[row])
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
            guard !labels.isEmpty, let last = labels.history(of: transaction).last else {
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
            let part = users.spillKey(row.user)
            try withUnsafeBytes(of: row) { row in
                try references.withUnsafeBytes { try parts.append(row, and: $0, to: part) }
            }
        }

        private func hashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            try Self.hashes(batch, name) { _, _ in }
        }

        /// Of texts that hardly ever come twice; 0: there is none.
        private static func hashesOfDifferent(
            _ texts: TextColumn, met: (UInt64, UnsafeBufferPointer<UInt8>) -> Void = { _, _ in }
        ) -> [UInt64] {
            [UInt64](unsafeUninitializedCapacity: texts.count) { hashes, count in
                texts.visit { row, text in
                    hashes[row] = 0
                    guard let text, !ValueText.isMissing(text) else { return }
                    hashes[row] = TextHash.hash(UnsafeRawBufferPointer(text))
                    met(hashes[row], text)
                }
                count = texts.count
            }
        }

        /// Hashes of categories, whose texts are kept.
        private mutating func namedHashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            try Self.hashes(batch, name) { categories.add($0, $1) }
        }

        private static func hashes(
            _ batch: RecordBatch, _ name: String, met: (UInt64, UnsafeBufferPointer<UInt8>) -> Void
        ) throws -> [UInt64] {
            guard let coded = try batch.codedTexts(name) else {
                return hashes(try batch.texts(name), met: met)
            }
            let ofTexts = hashesOfDifferent(coded.texts, met: met)
            return coded.codes.map { $0 < 0 ? 0 : ofTexts[Int($0)] }
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

/// The users of a batch's rows: those that are known by their numbers in the file, or by the row before.
private struct BatchIDs {
    private let batch: RecordBatch
    private let coded: CodedTexts?
    /// nil where there are codes.
    private let texts: TextColumn?
    /// For each code the user; nil: not looked for yet.
    private var found: [(index: UInt32, hash: UInt64)?]
    /// Without codes: the last user that was looked for, and in which row.
    private var last: (user: (index: UInt32, hash: UInt64), row: Int)?

    init(_ batch: RecordBatch) throws {
        self.batch = batch
        coded = try batch.codedTexts(TransactionColumns.userID)
        texts = coded == nil ? try batch.texts(TransactionColumns.userID) : nil
        found = Array(repeating: nil, count: coded?.texts.count ?? 0)
    }

    /// The user of a row whose id has been noted.
    func known(_ row: Int) -> (index: UInt32, hash: UInt64)? {
        if let coded { return coded.codes[row] < 0 ? nil : found[Int(coded.codes[row])] }
        guard let last, let texts, isSame(texts, row, last.row) else { return nil }
        return last.user
    }

    private func isSame(_ texts: TextColumn, _ row: Int, _ other: Int) -> Bool {
        texts.withBytes(row) { text in
            texts.withBytes(other) { other in
                guard let text, let other, text.count == other.count else { return false }
                guard let start = text.baseAddress, let from = other.baseAddress else { return false }
                return memcmp(start, from, text.count) == 0
            }
        }
    }

    mutating func note(_ user: (index: UInt32, hash: UInt64), _ row: Int) {
        if let coded { found[Int(coded.codes[row])] = user } else { last = (user, row) }
    }

    /// The UTF-8 bytes of a row's id; nil: there is none.
    func withBytes<R>(_ row: Int, _ body: (UnsafeBufferPointer<UInt8>?) -> R) -> R {
        guard let coded else { return texts?.withBytes(row, body) ?? body(nil) }
        return coded.codes[row] < 0 ? body(nil) : coded.texts.withBytes(Int(coded.codes[row]), body)
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
