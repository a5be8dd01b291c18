import Models

/// How well frauds rank above all other transactions, over all users together, by severity: with the global model alone,
/// with everybody's own model, and with the own models of those that have earned one.
///
/// Who earns a model is chosen by the holdout, often by one fraud or two: on the rows that chose it, it looks better than it
/// is. So the third way is taken crosswise: on the later half of a user's rows the own model counts if the earlier half would
/// have chosen it, and the other way round. (On generated transactions 70 of 1,000 users earned a model; the holdout that
/// had chosen them said 0.60 for 0.54, and the weeks after it 0.35.)
///
/// A user's model that is better for that user may still be worse for the list of alerts that people work off: severities
/// of two models have to mean the same. Counted in bins of severity, so that a million users are a few kilobytes.
struct UsersRanking: Codable, Sendable, Hashable {
    /// Rows by bin of severity. Written as a dictionary, without the empty bins.
    struct Bins: Codable, Sendable, Hashable {
        static let count = 2_048

        /// One more than there are bins, for severity 1; empty before the first row.
        private var rows: [Int] = []

        init() {}

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            for (bin, count) in try container.decode([Int: Int].self) {
                guard (0...Self.count).contains(bin), count >= 0 else {
                    throw DecodingError.dataCorruptedError(
                        in: container, debugDescription: "there is no bin \(bin) of \(count) rows")
                }
                add(bin, count)
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            let filled = rows.enumerated().lazy.filter { $0.element > 0 }
            try container.encode(Dictionary(uniqueKeysWithValues: filled.map { ($0.offset, $0.element) }))
        }

        subscript(_ bin: Int) -> Int { rows.isEmpty ? 0 : rows[bin] }

        var total: Int { rows.reduce(0, +) }

        /// - Parameter severity: 0 to 1.
        static func bin(of severity: Double) -> Int { Int(min(max(severity, 0), 1) * Double(count)) }

        mutating func add(_ bin: Int, _ count: Int = 1) {
            if rows.isEmpty { rows = [Int](repeating: 0, count: Self.count + 1) }
            rows[bin] += count
        }

        mutating func merge(_ other: Bins) {
            for (bin, count) in other.rows.enumerated() where count > 0 { add(bin, count) }
        }
    }

    /// Frauds and others by bin of severity.
    struct Counts: Codable, Sendable, Hashable {
        private var frauds = Bins()
        private var others = Bins()

        var fraudCount: Int { frauds.total }

        /// - Parameter bin: Of the severity.
        mutating func add(_ bin: Int, isFraud: Bool) {
            if isFraud { frauds.add(bin) } else { others.add(bin) }
        }

        mutating func merge(_ other: Counts) {
            frauds.merge(other.frauds)
            others.merge(other.others)
        }

        /// nil without a fraud.
        var averagePrecision: Double? {
            let all = fraudCount
            guard all > 0 else { return nil }
            var (sum, found, above) = (0.0, 0, 0)
            for bin in (0...Bins.count).reversed() {
                let here = frauds[bin]
                guard here + others[bin] > 0 else { continue }
                found += here
                above += here + others[bin]
                sum += Double(here) / Double(all) * Double(found) / Double(above)
            }
            return sum
        }
    }

    /// The three ways of scoring the same rows.
    struct Ways: Codable, Sendable, Hashable {
        var global = Counts()
        var own = Counts()
        var earned = Counts()

        mutating func add(_ bins: (global: Int, own: Int, earned: Int), isFraud: Bool) {
            global.add(bins.global, isFraud: isFraud)
            own.add(bins.own, isFraud: isFraud)
            earned.add(bins.earned, isFraud: isFraud)
        }

        mutating func merge(_ other: Ways) {
            global.merge(other.global)
            own.merge(other.own)
            earned.merge(other.earned)
        }
    }

    /// Rows of the holdouts, known frauds against the rest.
    private(set) var known = Ways()
    /// The same rows, injected frauds against those that are not known to be any.
    private(set) var injected = Ways()

    /// Alerts on rows that are not known to be frauds, by the global model alone, and by own ones where they are earned.
    private(set) var falseAlerts = [FalseAlertShares(), FalseAlertShares()]

    private enum CodingKeys: String, CodingKey { case known, injected, falseAlerts }

    init() {}

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        known = try container.decode(Ways.self, forKey: .known)
        injected = try container.decode(Ways.self, forKey: .injected)
        // Jobs that were begun before there were these have none.
        let shares = try container.decodeIfPresent([FalseAlertShares].self, forKey: .falseAlerts) ?? []
        if shares.count == 2 { falseAlerts = shares }
    }

    /// Fewer known frauds do not decide; injected ones do.
    private static let minimumFrauds = 30

    /// Adds a user's holdout; nothing where a model's severities are not known.
    ///
    /// - Parameters:
    ///   - threshold: The user's own model's.
    ///   - isEarned: Whether that is to serve.
    ///   - isEarnedCrosswise: For each row what the half that it is not in says of that; nil: the same.
    ///   - kept: The user's model that serves now, if it goes on where the new one does not take its place.
    mutating func add(
        own: HoldoutScores, threshold: Double, _ ownScale: SeverityScale?, global: HoldoutScores,
        _ globalModel: ReadyModel,
        isEarned: Bool, isEarnedCrosswise: [Bool]? = nil,
        kept: TrainingPipeline.Standing? = nil
    ) {
        guard let ownScale, globalModel.severity(of: globalModel.threshold) != nil else { return }
        /// Of one row by the scores of the three models.
        func bins(
            _ row: Int, own: Double, global: Double, kept keptScore: Double?
        ) -> (global: Int, own: Int, earned: Int) {
            let mine = Bins.bin(of: ownScale.severity(of: own))
            let theirs = Bins.bin(of: globalModel.severity(of: global) ?? 0)
            let serves = isEarnedCrosswise?[row] ?? isEarned
            let keeps = serves ? nil : keptScore.flatMap { kept?.model.severity(of: $0) }
            return (theirs, mine, serves ? mine : keeps.map(Bins.bin) ?? theirs)
        }
        for (row, label) in own.labels.enumerated() {
            let bins = bins(
                row, own: own.scores[row], global: global.scores[row], kept: kept?.scores.scores[row])
            known.add(bins, isFraud: label == 1)
            if label != 1 { injected.add(bins, isFraud: false) }
        }
        for row in own.injected.indices {
            let bins = bins(
                row, own: own.injected[row], global: global.injected[row],
                kept: kept?.scores.injected[row])
            injected.add(bins, isFraud: true)
        }
        let usual = own.labels.indices.filter { own.labels[$0] != 1 }
        guard !usual.isEmpty, own.amounts.count == own.labels.count else { return }
        let amount = usual.reduce(0.0) { $0 + Double(own.amounts[$1]) } / Double(usual.count)
        let theirs = usual.count { global.scores[$0] < globalModel.threshold }
        let mine =
            if isEarned {
                usual.count { own.scores[$0] < threshold }
            } else if let kept {
                usual.count { kept.scores.scores[$0] < kept.model.threshold }
            } else { theirs }
        for (way, alerts) in [theirs, mine].enumerated() {
            falseAlerts[way].add(transactions: usual.count, meanAmount: amount, falseAlerts: alerts)
        }
    }

    mutating func merge(_ other: UsersRanking) {
        known.merge(other.known)
        injected.merge(other.injected)
        for way in falseAlerts.indices { falseAlerts[way].merge(other.falseAlerts[way]) }
    }

    private var deciding: Ways { known.global.fraudCount >= Self.minimumFrauds ? known : injected }

    /// Whether the earned models together rank frauds no worse than the global model alone. True where nothing is known.
    var isEarnedBetter: Bool {
        guard let global = deciding.global.averagePrecision, let earned = deciding.earned.averagePrecision
        else { return true }
        return earned >= global
    }

    /// For the job's answer: `users_average_precision_global`, `_own` and `_earned` of known frauds, and of injected ones;
    /// `users_global_` and `users_earned_` with the names of `FalseAlertShares.metrics`.
    var metrics: [String: Double] {
        var metrics: [String: Double] = [:]
        for (name, ways) in [("average_precision", known), ("injected_precision", injected)] {
            metrics["users_\(name)_global"] = ways.global.averagePrecision
            metrics["users_\(name)_own"] = ways.own.averagePrecision
            metrics["users_\(name)_earned"] = ways.earned.averagePrecision
        }
        metrics.merge(falseAlerts[0].metrics(prefix: "users_global_")) { $1 }
        metrics.merge(falseAlerts[1].metrics(prefix: "users_earned_")) { $1 }
        return metrics
    }
}
