import Exact
import Lake
import ObjectStore
import Transactions

/// Reads transactions back from the lake, whole.
public struct LakeTransactions: Sendable {
    private let reader: LakeReader

    /// - Parameter zone: Of times that do not say theirs.
    public init(lake: any ObjectStore, zone: PlaceZone? = nil) {
        reader = LakeReader(store: lake, zone: zone)
    }

    init(_ reader: LakeReader) { self.reader = reader }

    /// A user's transactions of some days, in the order of their times, and of their ids within a moment.
    ///
    /// - Parameters:
    ///   - start: Milliseconds since 1970 UTC.
    ///   - end: The last moment that counts.
    public func of(
        user: String, from start: Int64, through end: Int64, isCancelled: () -> Bool = { false }
    ) throws -> [Transaction] {
        var found: [Transaction] = []
        let days =
            LakeDay(
                dayNumber: Int(start / LakeDay.milliseconds))...LakeDay(
                dayNumber: Int(end / LakeDay.milliseconds))
        try reader.scan(
            days: days, columns: TransactionColumns.required, optionalColumns: TransactionColumns.optional,
            userID: user, isCancelled: isCancelled
        ) { try Self.add($0, to: &found) }
        return found.filter { (start...end).contains($0.timestampMilliseconds) && $0.userID == user }.sorted {
            ($0.timestampMilliseconds, $0.transactionID) < ($1.timestampMilliseconds, $1.transactionID)
        }
    }

    private static func add(_ batch: RecordBatch, to found: inout [Transaction]) throws {
        let texts = try TextField.allCases.map { try batch.texts($0.key) }
        let amounts = try batch.reals(TransactionColumns.amount)
        let times = try batch.timestamps(TransactionColumns.timestamp)
        let latitudes = try batch.reals(TransactionColumns.latitude)
        let longitudes = try batch.reals(TransactionColumns.longitude)
        for row in 0..<batch.count {
            func text(_ field: TextField) -> String? {
                texts[field.rawValue].withBytes(row) { $0.map { String(decoding: $0, as: UTF8.self) } }
            }
            guard let id = text(.transactionID), let user = text(.userID), amounts[row].isFinite else {
                continue
            }
            found.append(
                Transaction(
                    transactionID: id, userID: user, amount: amounts[row],
                    timestampMilliseconds: times[row], currency: text(.currency),
                    merchantID: text(.merchantID), category: text(.category), country: text(.country),
                    channel: text(.channel), deviceID: text(.deviceID),
                    latitude: latitudes[row].isNaN ? nil : latitudes[row],
                    longitude: longitudes[row].isNaN ? nil : longitudes[row]))
        }
    }
}
