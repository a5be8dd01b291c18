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
        /// Transactions within the hour below which nothing is called a flood.
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
        /// Of the latest scores the one of which that share lies below; nil: too few are known.
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
        /// Of each categorical feature the share of rows whose category training did not know.
        public let unseenShares: [String: Double]
    }

    private struct Key: Hashable {
        let tenant: Tenant
        let version: Int
    }

    private struct Watched {
        let model: ReadyModel
        var rate = AlertRate()
        var drift: DriftCounts?
        var unseen = UnseenCounts()
        /// Of the latest batch that it scored.
        var lastBatch = 0
    }

    private struct State {
        var models: [Key: Watched] = [:]
        /// Of all users' own models together.
        var ownUnseen = UnseenCounts()
        var batches = 0
    }

    static let maximumModels = 4_096

    private let settings: Settings
    private let state = Mutex(State())

    public init(_ settings: Settings = Settings()) { self.settings = settings }

    public func observe(_ scored: ScoredBatch) {
        state.withLock { state in
            state.batches += 1
            for (place, group) in scored.groups.enumerated() where !group.rows.isEmpty {
                let key = Key(tenant: group.model.tenant, version: group.model.version)
                var watched =
                    state.models[key]
                    ?? Watched(
                        model: group.model,
                        drift: group.model.tenant == .global
                            ? group.model.header.profile.map { DriftCounts($0, group.model.plan) } : nil)
                watched.lastBatch = state.batches
                observe(scored, group, Int32(place), into: &watched, own: &state.ownUnseen)
                state.models[key] = watched
            }
            forget(&state)
        }
    }

    private func observe(
        _ scored: ScoredBatch, _ group: RouteGroup, _ place: Int32, into watched: inout Watched,
        own: inout UnseenCounts
    ) {
        let transactions = scored.windowed.consumed.transactions
        for row in group.rows where scored.groupIndex[Int(row)] == place {
            watched.rate.add(
                timeMilliseconds: transactions.timestampMilliseconds[Int(row)],
                isAlert: scored.isAnomaly(Int(row)))
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

    /// Models of the last batches that raise more alerts than they may. A model that is no longer active has none.
    public func floods() -> [Flood] {
        state.withLock { state in
            state.models.values.filter { isFlood($0) }.map { watched in
                let budget = watched.model.brief.contamination
                let scores = watched.drift?.scores ?? []
                return Flood(
                    tenant: watched.model.tenant, version: watched.model.version,
                    transactions: watched.rate.transactionCount, alerts: watched.rate.alertCount,
                    budget: budget,
                    fittingThreshold: scores.count < settings.minimumTransactions / settings.driftStep
                        ? nil : Self.quantile(scores, budget))
            }.sorted { ($0.tenant, $0.version) < ($1.tenant, $1.version) }
        }
    }

    /// nil: this process has not scored with it.
    public func report(of tenant: Tenant, version: Int) -> Report? {
        state.withLock { state in
            guard let watched = state.models[Key(tenant: tenant, version: version)] else { return nil }
            return Report(
                tenant: tenant, version: version, transactions: watched.rate.transactionCount,
                alerts: watched.rate.alertCount, budget: watched.model.brief.contamination,
                isFlood: isFlood(watched), driftRows: watched.drift?.rows ?? 0,
                scoreShift: watched.drift?.scoreShift, featureShifts: watched.drift?.featureShifts ?? [:],
                unseenShares: watched.unseen.shares)
        }
    }

    /// Of each categorical feature the share of rows, among those that users' own models scored, whose category the model
    /// did not know.
    public var ownUnseenShares: [String: Double] { state.withLock { $0.ownUnseen.shares } }

    /// Writes the figures of the global model, and of all users' own together, into the metrics: a series a feature of the
    /// schema, none a user.
    public func exportMetrics(globalVersion: Int?) {
        for (name, share) in ownUnseenShares {
            Meter(label: "ml_own_unseen_category_share", dimensions: [("feature", name)]).set(share)
        }
        guard let globalVersion, let report = report(of: .global, version: globalVersion) else { return }
        let rate = Double(report.alerts) / Double(max(report.transactions, 1))
        Meter(label: "ml_model_alert_rate").set(rate)
        Meter(label: "ml_model_alert_budget").set(report.budget)
        if let shift = report.scoreShift { Meter(label: "ml_score_psi").set(shift) }
        for (name, shift) in report.featureShifts {
            Meter(label: "ml_feature_psi", dimensions: [("feature", name)]).set(shift)
        }
        for (name, share) in report.unseenShares {
            Meter(label: "ml_unseen_category_share", dimensions: [("feature", name)]).set(share)
        }
        Meter(label: "ml_models_flooding").set(Double(floods().count))
    }

    /// Beyond what chance gives: three deviations of a Poisson number above the factor's share.
    private func isFlood(_ watched: Watched) -> Bool {
        let (count, budget) = (Double(watched.rate.transactionCount), watched.model.brief.contamination)
        guard count >= Double(settings.minimumTransactions), budget > 0 else { return false }
        let expected = budget * count
        let limit = max(settings.floodFactor * expected, expected + 3 * expected.squareRoot())
        return Double(watched.rate.alertCount) > limit
    }

    private static func quantile(_ scores: [Double], _ share: Double) -> Double? {
        let sorted = scores.sorted()
        guard let last = sorted.indices.last else { return nil }
        return sorted[min(Int((share * Double(sorted.count)).rounded(.down)), last)]
    }
}
