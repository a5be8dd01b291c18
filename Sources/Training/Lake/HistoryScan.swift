import Exact
import Features
import Foundation
import Lake
import ObjectStore
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
    /// Rows of files in range whose time lies outside the range and its warm-up days.
    let strayRows: Int
    /// Rows that are no transactions.
    let passedOver: PassedOverRows

    /// A user's part is the first byte of the id's hash.
    static let partCount = 256

    /// Reads a part, which is then gone.
    func takePart(_ part: Int) throws -> [HistoryRow] {
        var rows: [HistoryRow] = []
        let stride = MemoryLayout<HistoryRow>.stride
        try parts.take(part, recordSize: stride) { bytes in
            rows.reserveCapacity(rows.count + bytes.count / stride)
            for offset in Swift.stride(from: 0, to: bytes.count, by: stride) {
                rows.append(bytes.loadUnaligned(fromByteOffset: offset, as: HistoryRow.self))
            }
        }
        return rows
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

/// Stage 1: one pass over the lake's files of these days, only the columns needed, and for one user only the row
/// groups that may hold them.
struct HistoryScan {
    let reader: LakeReader
    /// Days in range.
    let days: ClosedRange<LakeDay>
    /// Days before the range, which fill the windows and give no rows.
    let warmUpDays: Int
    /// nil: everybody's.
    let userID: String?
    let scratch: String
    let memoryBytes: Int

    /// - Parameter progress: Told the finished part.
    func run(isCancelled: () -> Bool, progress: (Double) -> Void) throws -> History {
        var rows = Rows(scan: self)
        let files = try reader.files(in: days.lowerBound.adding(days: -warmUpDays)...days.upperBound)
        let sizeBytes = max(1, files.reduce(0) { $0 + $1.sizeBytes })
        var readBytes = 0
        for file in files {
            try reader.scan(
                files: [file], columns: TransactionColumns.required,
                optionalColumns: TransactionColumns.optional, userID: userID, isCancelled: isCancelled
            ) { try rows.add($0) }
            readBytes += file.sizeBytes
            progress(Double(readBytes) / Double(sizeBytes))
        }
        return History(
            parts: rows.parts, users: rows.users, categories: rows.categories, span: rows.span,
            rowCount: rows.rowCount, strayRows: rows.strayRows, passedOver: rows.passedOver)
    }

    /// What the scan has found so far.
    private struct Rows {
        let parts: SpillFiles
        let range: Range<Int64>
        let warmUpStart: Int64
        var users = HistoryUsers()
        var categories = CategoryNames()
        var span: ClosedRange<Int64>?
        var rowCount = 0
        var strayRows = 0
        var passedOver = PassedOverRows()

        init(scan: HistoryScan) {
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
            let labels = try batch.readLabels(TransactionColumns.label)
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
                        ids, amounts, times, latitudes, longitudes, labels, &passedOver)
                else {
                    continue
                }
                let user = ids.withBytes(row) { id -> (index: UInt32, hash: UInt64) in
                    let id = id ?? UnsafeBufferPointer(start: nil, count: 0)
                    let hash = TextHash.hash(UnsafeRawBufferPointer(id))
                    return (users.index(of: id, hash: hash), hash)
                }
                let found = HistoryRow(
                    timestampMilliseconds: times.values[row], amount: amounts.values[row],
                    latitude: latitudes.values[row], longitude: longitudes.values[row],
                    merchant: merchants[row], country: countries[row],
                    device: devices[row], category: kinds[row], channel: channels[row],
                    currency: currencies[row], transaction: transactions[row], user: user.index,
                    label: Int32(labels.values[row]))
                try keep(found, part: Int(user.hash >> 56))
            }
        }

        private mutating func keep(_ row: HistoryRow, part: Int) throws {
            let time = row.timestampMilliseconds
            // Days are told apart by event time; a file may hold rows of other days.
            if time < warmUpStart || time >= range.upperBound { strayRows += 1 }
            guard time < range.upperBound else { return }
            if time >= range.lowerBound {
                rowCount += 1
                span = min(span?.lowerBound ?? time, time)...max(span?.upperBound ?? time, time)
            }
            try withUnsafeBytes(of: row) { try parts.append($0, to: part) }
        }

        private func hashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            let texts = try batch.texts(name)
            return (0..<batch.count).map { row in
                texts.withBytes(row) { text in
                    guard let text, !ValueText.isMissing(text) else { return 0 }
                    return TextHash.hash(UnsafeRawBufferPointer(text))
                }
            }
        }

        /// Hashes of categories, whose texts are kept.
        private mutating func namedHashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
            let texts = try batch.texts(name)
            var last: UInt64 = 0
            return (0..<batch.count).map { row in
                texts.withBytes(row) { text in
                    guard let text, !ValueText.isMissing(text) else { return 0 }
                    let hash = TextHash.hash(UnsafeRawBufferPointer(text))
                    if hash != last { categories.add(hash, text) }
                    last = hash
                    return hash
                }
            }
        }
    }
}
