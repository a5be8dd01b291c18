import Features
import Transactions

/// Kinds of fraud that are made from real transactions: what a model must find where nobody knows the real ones.
///
/// A transaction is changed as a fraudster would have made it, and its features come from the user's window at that
/// moment, by the code that serving runs.
enum Injection: UInt64, CaseIterable {
    /// Ten times the amount.
    case amount
    /// The other side of the world, a country and a device that the user never had.
    case travel
    /// The ninth of small payments within two minutes, at merchants that the user never saw. Small beside the real one:
    /// whatever the currency, so that no detector finds these by an amount that nobody has.
    case burst
    /// Nothing that is unheard of, but several things at once: at night, twice the amount, at a merchant that the user
    /// never saw, the third payment in ten minutes.
    case oddities

    /// What `RowTable.labels` says of a row with this fraud.
    var label: Int8 { Int8(rawValue) + 1 }

    init?(label: Int8) {
        guard label > 0 else { return nil }
        self.init(rawValue: UInt64(label) - 1)  // fits: above 0
    }

    /// In the names of metrics.
    var name: String {
        switch self {
        case .amount: "amount"
        case .travel: "travel"
        case .burst: "burst"
        case .oddities: "oddities"
        }
    }

    /// The kind that a row of this priority gets: all are equally common, but nobody travels whose transactions have
    /// neither place, country nor device.
    init(priority: UInt64, row: HistoryRow) {
        let kind = Self.allCases[Int(priority % UInt64(Self.allCases.count))]
        let isTraceable = row.country != 0 || row.device != 0 || !row.latitude.isNaN
        self = kind == .travel && !isTraceable ? .amount : kind
    }

    /// Hashes of texts that no transaction has: one for the country and device, and a merchant for each payment.
    private static let stranger = TextHash.hash("\u{1}injected")
    private static let merchants = (0...burstCount).map { TextHash.hash("\u{1}injected \($0)") }
    private static let burstCount = 8
    private static let burstStepMilliseconds: Int64 = 15_000
    private static let smallness = 20.0

    /// - Parameters:
    ///   - row: A real transaction.
    ///   - window: The user's before it.
    ///   - scratch: Its memory is worked in.
    ///   - features: `UserWindow.featureCount` places for those of the changed one.
    /// - Returns: The changed transaction.
    func apply(
        to row: HistoryRow, window: UserWindow, scratch: inout UserWindow,
        into features: UnsafeMutableBufferPointer<Float>
    ) -> HistoryRow {
        var changed = row
        changed.label = Int32(label)
        switch self {
        case .amount:
            changed.amount *= 10
            window.writeFeatures(for: changed.event, into: features)
        case .travel:
            if row.country != 0 { changed.country = Self.stranger }
            if row.device != 0 { changed.device = Self.stranger }
            changed.latitude = -row.latitude
            changed.longitude = row.longitude > 0 ? row.longitude - 180 : row.longitude + 180
            window.writeFeatures(for: changed.event, into: features)
        case .burst:
            scratch.become(window)
            changed.amount = row.amount.magnitude / Self.smallness
            let end = row.timestampMilliseconds
            for step in 0..<Self.burstCount {
                changed.timestampMilliseconds =
                    end - Int64(Self.burstCount - step) * Self.burstStepMilliseconds
                changed.merchant = Self.merchants[step]
                scratch.fold(changed.event)
            }
            changed.timestampMilliseconds = end
            changed.merchant = Self.merchants[Self.burstCount]
            scratch.writeFeatures(for: changed.event, into: features)
        case .oddities:
            scratch.become(window)
            changed.amount *= 2
            let end = Self.night(after: row.timestampMilliseconds)
            for step in 0..<Self.oddityCount {
                changed.timestampMilliseconds =
                    end - Int64(Self.oddityCount - step) * Self.oddityStepMilliseconds
                changed.merchant = Self.merchants[step]
                scratch.fold(changed.event)
            }
            changed.timestampMilliseconds = end
            changed.merchant = Self.merchants[Self.oddityCount]
            scratch.writeFeatures(for: changed.event, into: features)
        }
        return changed
    }

    private static let oddityCount = 2
    private static let oddityStepMilliseconds: Int64 = 240_000

    /// The next 3 o'clock, UTC, and as many minutes past it.
    private static func night(after time: Int64) -> Int64 {
        let (day, hour): (Int64, Int64) = (86_400_000, 3_600_000)
        let inDay = (time % day + day) % day
        let moment = 3 * hour + inDay % hour
        return time - inDay + moment + (moment < inDay ? day : 0)
    }
}
