import Features
import Lake
import Transactions

/// A row of training data: what serving would have computed for this transaction, at its time.
struct PreparedRow {
    let transactions: TransactionBatch
    let row: Int
    /// `UserWindow.featureCount` numeric features. Borrowed for the call.
    let features: UnsafeBufferPointer<Float>
    /// 1 anomalous, 0 not, -1 unknown.
    let label: Int8

    var timestampMilliseconds: Int64 { transactions.timestampMilliseconds[row] }
}

/// Stage 2: runs the windows over history in event-time order, with the code that serving runs.
///
/// Holds one day of transactions and the windows of all users seen.
///
/// - Parameters:
///   - warmUpDays: Days before the range that fill the windows and give no rows.
///   - body: Called for each row of the range, in the order of event time, then of id.
/// - Returns: Rows of the range.
func prepare(
    _ reader: LakeReader, days: ClosedRange<LakeDay>, warmUpDays: Int, userID: String?,
    isCancelled: () -> Bool, progress: (Double) -> Void, body: (PreparedRow) throws -> Void
) throws -> Int {
    let span = days.lowerBound.adding(days: -warmUpDays)...days.upperBound
    let files = try reader.files(in: span)
    var windows: [UInt64: UserWindow] = [:]
    var features = [Float](repeating: 0, count: UserWindow.featureCount)
    var rows = 0
    for (index, day) in Set(files.map(\.day)).sorted().enumerated() {
        if isCancelled() { throw TrainingError.cancelled }
        var transactions = TransactionBatch()
        var labels: [Int8] = []
        try reader.scan(
            files: files.filter { $0.day == day }, columns: TransactionColumns.required,
            optionalColumns: TransactionColumns.optional, userID: userID, isCancelled: isCancelled
        ) { try TransactionColumns.append($0, to: &transactions, labels: &labels) }
        for row in eventOrder(transactions) {
            let event = WindowEvent(transactions, row: row)
            var window = windows[transactions.hash(.userID, row)] ?? UserWindow()
            if day >= days.lowerBound {
                try features.withUnsafeMutableBufferPointer { features in
                    window.writeFeatures(for: event, into: features)
                    try body(
                        PreparedRow(
                            transactions: transactions, row: row, features: UnsafeBufferPointer(features),
                            label: labels[row]))
                }
                rows += 1
            }
            window.fold(event)
            windows[transactions.hash(.userID, row)] = window
        }
        progress(Double(index + 1) / Double(span.count))
    }
    return rows
}

/// Rows by event time; rows of one moment by id, so that the order does not depend on the files'.
private func eventOrder(_ transactions: TransactionBatch) -> [Int] {
    let times = transactions.timestampMilliseconds
    return (0..<transactions.count).sorted { a, b in
        if times[a] != times[b] { return times[a] < times[b] }
        return (transactions.text(.transactionID, a) ?? "") < (transactions.text(.transactionID, b) ?? "")
    }
}
