import Exact
import Lake

/// Rows of the lake that are no transactions, counted by what is wrong with them.
public struct PassedOverRows: Sendable {
    private var counts: [String: (count: Int, first: String)] = [:]

    public init() {}

    public var count: Int { counts.values.reduce(0) { $0 + $1.count } }

    /// A line for each kind of fault, the most frequent first, with where it was met first.
    public var notes: [String] {
        counts.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.map { fault, rows in
            "\(rows.count) \(rows.count == 1 ? "row" : "rows") passed over: \(fault); the first is \(rows.first)"
        }
    }

    fileprivate mutating func add(_ fault: String, first place: @autoclosure () -> String) {
        counts[fault, default: (0, place())].count += 1
    }

    /// Adds those that were met after these.
    public mutating func add(_ later: PassedOverRows) {
        for (fault, rows) in later.counts { counts[fault, default: (0, rows.first)].count += rows.count }
    }
}

/// Whether a row of the lake is a transaction: the same that the stream's parser asks of a message. Training and
/// reference tables ask this alike, so that they are of the same rows.
public struct RowCheck {
    let batch: RecordBatch
    let row: Int

    public init(batch: RecordBatch, row: Int) {
        self.batch = batch
        self.row = row
    }

    /// Whether a text names a user.
    static func isUserID(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard !ValueText.isMissing(text), text.count <= 256 else { return false }
        if text.allSatisfy({ $0 > 0 && $0 < 0x80 }) { return true }
        return !text.contains(0) && String(validating: text, as: UTF8.self) != nil
    }

    /// Whether no row has a fault in one of these columns.
    public static func areSound(
        _ amounts: ReadColumn<Double>, _ times: ReadColumn<Int64>, _ latitudes: ReadColumn<Double>,
        _ longitudes: ReadColumn<Double>, _ labels: ReadColumn<Int8>
    ) -> Bool {
        amounts.isComplete && times.isComplete && !latitudes.hasRefusals && !longitudes.hasRefusals
            && !labels.hasRefusals && amounts.values.allSatisfy(\.isFinite)
            && times.values.allSatisfy(TimeText.acceptedMilliseconds.contains)
            && latitudes.values.allSatisfy { !($0.magnitude > 90) }
            && longitudes.values.allSatisfy { !($0.magnitude > 180) }
    }

    public func isTransaction(
        _ id: UnsafeBufferPointer<UInt8>?, _ amounts: ReadColumn<Double>, _ times: ReadColumn<Int64>,
        _ latitudes: ReadColumn<Double>, _ longitudes: ReadColumn<Double>, _ labels: ReadColumn<Int8>,
        _ passedOver: inout PassedOverRows
    ) -> Bool {
        guard let (column, reason) = firstFault(id, amounts, times, latitudes, longitudes, labels) else {
            return true
        }
        passedOver.add("\(column): \(reason)", first: place(column))
        return false
    }

    private func firstFault(
        _ id: UnsafeBufferPointer<UInt8>?, _ amounts: ReadColumn<Double>, _ times: ReadColumn<Int64>,
        _ latitudes: ReadColumn<Double>, _ longitudes: ReadColumn<Double>, _ labels: ReadColumn<Int8>
    ) -> (String, String)? {
        guard let id, !ValueText.isMissing(id) else { return ("user_id", "there is none") }
        if !Self.isUserID(id) { return ("user_id", "expected 1 to 256 bytes of UTF-8, none of them NUL") }
        if let amount = fault("amount", amounts, isRequired: true, isGood: { $0.isFinite }) { return amount }
        let time = fault(
            "timestamp", times, isRequired: true, isGood: TimeText.acceptedMilliseconds.contains)
        if let time { return time }
        if let latitude = fault("latitude", latitudes, isGood: { !($0.magnitude > 90) }) { return latitude }
        if let longitude = fault("longitude", longitudes, isGood: { !($0.magnitude > 180) }) {
            return longitude
        }
        return fault("is_fraud", labels, isGood: { _ in true })
    }

    private func fault<Value>(
        _ column: String, _ values: ReadColumn<Value>, isRequired: Bool = false, isGood: (Value) -> Bool
    ) -> (String, String)? {
        if let refusal = values.refusal(row) { return (column, refusal.description) }
        guard values.hasValue(row) else { return isRequired ? (column, "there is none") : nil }
        return isGood(values.values[row]) ? nil : (column, "it is out of range")
    }

    private func place(_ column: String) -> String {
        let value = batch.isMissing(column) ? "" : ", which holds '\(batch.describe(column, row))'"
        return "row \(batch.fileRow(row)) from 0 of \(batch.file)\(value)"
    }
}
