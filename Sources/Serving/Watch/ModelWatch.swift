import Features
import Metrics
import Models
import Synchronization

/// Watches what the models that serve say of the stream: how many alerts each raises against its budget, and how far
/// scores and features have moved from what it was trained on. Changes no verdict. Thread-safe.
///
/// Of users' own models the alert rate and the share of unseen categories alone, of at most `maximumModels`, those that
/// scored lately.
public final class ModelWatch: Sendable {
    public struct Settings: Sendable {
        /// Times its budget that a model's alerts may be before it is a flood.
        public var floodFactor = 5.0
        /// Transactions within the hour below which nothing is called a flood: alerts of few come in runs, and thousands of
        /// users' own models are looked at every few seconds, so that chance alone would call some.
        public var minimumTransactions = 500
        /// Every so many rows that a model scores of a batch are looked at for drift, the first one always.
        public var driftStep = 8

        public init() {}
    }

    /// A model that raises far more alerts than it may.
    public struct Flood: Sendable, Hashable {
        public let tenant: Tenant
        public let version: Int
        public let transactions: Int
        public let alerts: Int
        /// The share of alerts that the model's threshold was chosen for.
        public let budget: Double
        /// Of the scores since the flood began the one of which that share lies below; nil: too few are known.
        public let fittingThreshold: Double?

        public var rate: Double { Double(alerts) / Double(transactions) }
    }

    /// What is known of one version.
    public struct Report: Sendable, Hashable {
        public let tenant: Tenant
        public let version: Int
        public let transactions: Int
        public let alerts: Int
        public let budget: Double
        public let isFlood: Bool
        /// Rows that the following are of.
        public let driftRows: Int
        /// Population stability indices against training; nil or empty without a training profile or with too few rows.
        public let scoreShift: Double?
        public let featureShifts: [String: Double]
        /// Of each categorical feature the share of rows whose category is unknown, or was too rare in training to have a
        /// column of its own; less training's own share of such rows where the model has a training profile.
        public let unseenShares: [String: Double]
    }

    private struct Key: Hashable {
        let tenant: Tenant
        let version: Int
    }

    private struct Watched {
        let model: ReadyModel
        var rate = AlertRate()
        /// Of the global model alone, as is `drift`.
        var scores: LatestScores?
        var drift: DriftCounts?
        var unseen = UnseenCounts()
        /// Of the latest batch that it scored.
        var lastBatch = 0

        init(_ model: ReadyModel) {
            self.model = model
            guard model.tenant == .global else { return }
            scores = LatestScores()
            drift = model.header.profile.map { DriftCounts($0, model.plan) }
        }

        var unseenShares: [String: Double] {
            let rare = drift?.rareShares ?? [:]
            return Dictionary(
                uniqueKeysWithValues: unseen.shares.map { ($0, max(0, $1 - (rare[$0] ?? 0))) })
        }
    }

    private struct State {
        var models: [Key: Watched] = [:]
        var time = StreamTime()
        var gauges: WatchGauges
        /// Of all users' own models together.
        var ownUnseen = UnseenCounts()
        var batches = 0
    }

    static let maximumModels = 4_096

    private let settings: Settings
    private let state: Mutex<State>

    /// - Parameter metrics: Told of what is exported; nil: the process's own.
    public init(_ settings: Settings = Settings(), metrics: (any MetricsFactory)? = nil) {
        self.settings = settings
        state = Mutex(State(gauges: WatchGauges(metrics ?? MetricsSystem.factory)))
    }

    public func observe(_ scored: ScoredBatch) {
        state.withLock { state in
            state.batches += 1
            let times = state.time.advance(scored.windowed)
            for (place, group) in scored.groups.enumerated() where !group.rows.isEmpty {
                let key = Key(tenant: group.model.tenant, version: group.model.version)
                // Taken out, so that it is not copied.
                var watched = state.models.removeValue(forKey: key) ?? Watched(group.model)
                watched.lastBatch = state.batches
                observe(scored, group, Int32(place), times, into: &watched, own: &state.ownUnseen)
                state.models[key] = watched
            }
            forget(&state)
        }
    }

    private func observe(
        _ scored: ScoredBatch, _ group: RouteGroup, _ place: Int32, _ times: [Int64?],
        into watched: inout Watched, own: inout UnseenCounts
    ) {
        let transactions = scored.windowed.consumed.transactions
        for row in group.rows where scored.groupIndex[Int(row)] == place {
            guard let time = times[Int(row)] else { continue }
            watched.rate.add(at: time, isAlert: scored.isAnomaly(Int(row)))
        }
        let plan = group.model.plan
        let isOwn = group.model.tenant != .global
        let width = UserWindow.featureCount
        var values = [Double](repeating: 0, count: watched.drift == nil ? 0 : plan.profiled.count)
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: PreprocessingPlan.categoryCount) { hashes in
            for position in stride(from: 0, to: group.rows.count, by: settings.driftStep) {
                let row = Int(group.rows[position])
                PreprocessingPlan.writeCategories(transactions, row: row, into: hashes)
                let categories = UnsafeBufferPointer(hashes)
                let known = plan.knownCategories(categories)
                watched.unseen.add(known)
                if isOwn { own.add(known) }
                if let time = times[row] { watched.scores?.add(scored.scores[row], at: time) }
                guard watched.drift != nil else { continue }
                scored.windowed.features.withUnsafeBufferPointer { features in
                    values.withUnsafeMutableBufferPointer {
                        plan.writeProfiled(
                            numeric: UnsafeBufferPointer(rebasing: features[row * width..<(row + 1) * width]),
                            categories: categories, into: $0)
                    }
                }
                values.withUnsafeBufferPointer { watched.drift?.add(score: scored.scores[row], values: $0) }
            }
        }
    }

    /// Lets go of those that have not scored for longest.
    private func forget(_ state: inout State) {
        guard state.models.count > Self.maximumModels else { return }
        let users = state.models.filter { $0.key.tenant != .global }
        for (key, _) in users.sorted(by: { $0.value.lastBatch < $1.value.lastBatch })
            .prefix(Self.maximumModels / 4)
        {
            state.models[key] = nil
        }
    }

    // MARK: Asked

    /// Models that raise more alerts than they may, in the last hour of the stream's time.
    ///
    /// - Parameter active: The version that is active now; only that one can be a flood.
    public func floods(active: (Tenant) -> Int?) -> [Flood] {
        state.withLock { floods($0, active) }
    }

    private func floods(_ state: State, _ active: (Tenant) -> Int?) -> [Flood] {
        var floods: [Flood] = []
        for (key, watched) in state.models {
            let rate = rate(of: watched, state)
            let budget = watched.model.brief.contamination
            guard isFlood(rate, budget), active(key.tenant) == key.version else { continue }
            let scores = watched.scores?.since(
                rate.start(ofAlertsBeyond: settings.floodFactor * budget),
                atLeast: settings.minimumTransactions / settings.driftStep, earliest: rate.start)
            floods.append(
                Flood(
                    tenant: key.tenant, version: key.version, transactions: rate.transactionCount,
                    alerts: rate.alertCount, budget: budget,
                    fittingThreshold: scores.flatMap { Self.quantile($0, budget) }))
        }
        return floods.sorted { ($0.tenant, $0.version) < ($1.tenant, $1.version) }
    }

    /// Of the hour up to now, though the model may have scored nothing lately.
    private func rate(of watched: Watched, _ state: State) -> AlertRate {
        var rate = watched.rate
        if let now = state.time.milliseconds { rate.advance(to: now) }
        return rate
    }

    /// nil: this process has not scored with it.
    public func report(of tenant: Tenant, version: Int) -> Report? {
        state.withLock { report($0, Key(tenant: tenant, version: version)) }
    }

    private func report(_ state: State, _ key: Key) -> Report? {
        guard let watched = state.models[key] else { return nil }
        let rate = rate(of: watched, state)
        let budget = watched.model.brief.contamination
        return Report(
            tenant: key.tenant, version: key.version, transactions: rate.transactionCount,
            alerts: rate.alertCount, budget: budget, isFlood: isFlood(rate, budget),
            driftRows: watched.drift?.rows ?? 0, scoreShift: watched.drift?.scoreShift,
            featureShifts: watched.drift?.featureShifts ?? [:], unseenShares: watched.unseenShares)
    }

    /// Writes the figures of the active global model, and of all users' own together, into the metrics: a series a feature
    /// of the schema, none a user. What is not known of the model yet is absent.
    ///
    /// - Parameter active: See `floods`.
    public func exportMetrics(active: (Tenant) -> Int?) {
        state.withLock { state in
            for (name, share) in state.ownUnseen.shares {
                state.gauges.set("ml_own_unseen_category_share", share, feature: name)
            }
            let floods = floods(state, active)
            state.gauges.set("ml_models_flooding", Double(floods.count))
            let key = active(.global).map { Key(tenant: .global, version: $0) }
            if let report = key.flatMap({ report(state, $0) }) { export(report, &state.gauges) }
            state.gauges.finish()
        }
    }

    private func export(_ report: Report, _ gauges: inout WatchGauges) {
        gauges.set("ml_model_alert_rate", Double(report.alerts) / Double(max(report.transactions, 1)))
        gauges.set("ml_model_alert_budget", report.budget)
        if let shift = report.scoreShift { gauges.set("ml_score_psi", shift) }
        for (name, shift) in report.featureShifts { gauges.set("ml_feature_psi", shift, feature: name) }
        for (name, share) in report.unseenShares {
            gauges.set("ml_unseen_category_share", share, feature: name)
        }
    }

    /// Beyond what chance gives: three deviations of a Poisson number above the factor's share.
    private func isFlood(_ rate: AlertRate, _ budget: Double) -> Bool {
        let count = Double(rate.transactionCount)
        guard rate.transactionCount >= settings.minimumTransactions, budget > 0 else { return false }
        let expected = budget * count
        let limit = max(settings.floodFactor * expected, expected + 3 * expected.squareRoot())
        return Double(rate.alertCount) > limit
    }

    private static func quantile(_ scores: [Double], _ share: Double) -> Double? {
        let sorted = scores.sorted()
        guard let last = sorted.indices.last else { return nil }
        return sorted[min(Int((share * Double(sorted.count)).rounded(.down)), last)]
    }
}
