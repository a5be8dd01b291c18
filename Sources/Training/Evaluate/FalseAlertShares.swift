import Foundation

/// How false alerts are spread over users: whether a tenth of them, the busiest or the biggest spenders say, gets more than
/// its share.
///
/// Users are put into deciles twice, by how many transactions they have and by how large these are in the mean, and each
/// decile's share of the false alerts is divided by its share of the transactions. Counted in bins, four an octave, so that
/// a million users are a few kilobytes; a decile ends with a bin.
struct FalseAlertShares: Codable, Sendable, Hashable {
    private struct Bin: Codable, Sendable, Hashable {
        var users = 0
        var transactions = 0
        var falseAlerts = 0

        mutating func add(_ other: Bin) {
            users += other.users
            transactions += other.transactions
            falseAlerts += other.falseAlerts
        }
    }

    private var byActivity: [Int: Bin] = [:]
    private var byAmount: [Int: Bin] = [:]

    /// A decile may get so many times its share of false alerts.
    static let limit = 3.0
    /// Of fewer false alerts, or users, a tenth is chance.
    private static let leastAlerts = 30
    private static let leastUsers = 50

    /// Adds a user.
    ///
    /// - Parameters:
    ///   - transactions: That are not known to be frauds.
    ///   - meanAmount: Of these.
    ///   - falseAlerts: Of these.
    mutating func add(transactions: Int, meanAmount: Double, falseAlerts: Int) {
        guard transactions > 0 else { return }
        let bin = Bin(users: 1, transactions: transactions, falseAlerts: falseAlerts)
        byActivity[Self.bin(Double(transactions)), default: Bin()].add(bin)
        byAmount[Self.bin(meanAmount), default: Bin()].add(bin)
    }

    mutating func merge(_ other: FalseAlertShares) {
        for (number, bin) in other.byActivity { byActivity[number, default: Bin()].add(bin) }
        for (number, bin) in other.byAmount { byAmount[number, default: Bin()].add(bin) }
    }

    private static func bin(_ value: Double) -> Int {
        guard value.isFinite, value != 0 else { return 0 }
        let magnitude = Int((log2(abs(value)) * 4).rounded(.down)) + 5_000
        return value < 0 ? -magnitude : magnitude
    }

    /// For each decile that has users, ascending: its share of false alerts over its share of transactions. nil: too few
    /// of either to tell.
    var activityDeciles: [Double]? { Self.deciles(byActivity) }
    var amountDeciles: [Double]? { Self.deciles(byAmount) }

    private static func deciles(_ bins: [Int: Bin]) -> [Double]? {
        var all = Bin()
        for bin in bins.values { all.add(bin) }
        guard all.falseAlerts >= leastAlerts, all.users >= leastUsers else { return nil }
        var deciles = [Bin](repeating: Bin(), count: 10)
        var before = 0
        for number in bins.keys.sorted() {
            guard let bin = bins[number] else { continue }
            // A bin belongs where its middle lies.
            deciles[min(9, (2 * before + bin.users) * 5 / all.users)].add(bin)
            before += bin.users
        }
        return deciles.filter { $0.users > 0 }.map { decile in
            Double(decile.falseAlerts) / Double(all.falseAlerts)
                / (Double(decile.transactions) / Double(all.transactions))
        }
    }

    /// For headers and answers: `false_alert_share_activity` and `false_alert_share_amount`, the largest of the deciles.
    func metrics(prefix: String = "") -> [String: Double] {
        var metrics: [String: Double] = [:]
        metrics[prefix + "false_alert_share_activity"] = activityDeciles?.max()
        metrics[prefix + "false_alert_share_amount"] = amountDeciles?.max()
        return metrics
    }
}

extension FalseAlertShares {
    /// Of scored rows.
    ///
    /// - Parameters:
    ///   - users: One a row, as the others.
    ///   - labels: 1: a known fraud.
    init(
        users: [UInt32], amounts: [Float], labels: [Int8], scores: [Double],
        threshold: Double
    ) {
        struct User {
            var transactions = 0
            var amount = 0.0
            var falseAlerts = 0
        }
        var found: [UInt32: User] = [:]
        for ((user, amount), row) in zip(zip(users, amounts), scores.indices) where labels[row] != 1 {
            var one = found[user] ?? User()
            one.transactions += 1
            one.amount += amount.isFinite ? Double(amount) : 0
            if scores[row] < threshold { one.falseAlerts += 1 }
            found[user] = one
        }
        self.init()
        for user in found.values {
            add(
                transactions: user.transactions, meanAmount: user.amount / Double(user.transactions),
                falseAlerts: user.falseAlerts)
        }
    }
}
