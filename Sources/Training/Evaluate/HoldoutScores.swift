import DetectorAPI
import Features

/// Stage 4: how a model scores the holdout, which it has not seen, and the same rows with frauds injected.
struct HoldoutScores {
    let scores: [Double]
    /// Row for row the same with a fraud injected.
    let injected: [Double]
    /// 1 anomalous, 0 not, -1 unknown.
    let labels: [Int8]
    /// `Injection.label` of each injected row.
    let kinds: [Int8]
    /// Whose each row is, and its amount; empty where that is not known.
    let users: [UInt32]
    let amounts: [Float]
    /// When each row was, epoch milliseconds; empty where that is not known.
    let times: [Int64]

    /// Scores of the rows that are not known to be frauds, ascending.
    let usualScores: [Double]
    /// Of the labelled rows; nil without both kinds.
    let averagePrecision: Double?
    /// The chance that an injected fraud scores below a row that is not known to be one.
    let injectedAUROC: Double?

    init(_ model: any DetectorModel, _ plan: PreprocessingPlan, _ set: PreparedSet) throws {
        self.init(
            scores: try score(model, set.holdout.encoded(plan), columns: plan.columnCount),
            injected: try score(model, set.injected.encoded(plan), columns: plan.columnCount),
            labels: set.holdout.labels, kinds: set.injected.labels, users: set.holdout.users,
            amounts: set.holdout.amounts, times: set.holdout.times)
    }

    /// The rows of the earlier and of the later half; nil where it is not known when they were.
    var halves: (earlier: ArraySlice<Int>, later: ArraySlice<Int>)? {
        guard times.count == scores.count, injected.count == scores.count else { return nil }
        let order = times.indices.sorted { (times[$0], $0) < (times[$1], $1) }
        let middle = order.count / 2
        return (order[..<middle], order[middle...])
    }

    /// Some of the rows alone, each with its injected one.
    func part(_ rows: ArraySlice<Int>) -> HoldoutScores {
        HoldoutScores(
            scores: rows.map { scores[$0] }, injected: rows.map { injected[$0] },
            labels: rows.map { labels[$0] }, kinds: rows.map { kinds[$0] })
    }

    init(
        scores: [Double], injected: [Double], labels: [Int8], kinds: [Int8]? = nil, users: [UInt32] = [],
        amounts: [Float] = [], times: [Int64] = []
    ) {
        self.scores = scores
        self.injected = injected
        self.labels = labels
        self.kinds = kinds ?? injected.map { _ in 1 }
        self.users = users
        self.amounts = amounts
        self.times = times
        var (usual, genuine, frauds): ([Double], [Double], [Double]) = ([], [], [])
        usual.reserveCapacity(scores.count)
        for (score, label) in zip(scores, labels) {
            if label == 1 { frauds.append(score) } else { usual.append(score) }
        }
        usual.sort()
        frauds.sort()
        // Where every row is labelled they are the same.
        if labels.contains(where: { $0 < 0 }) {
            for (score, label) in zip(scores, labels) where label == 0 { genuine.append(score) }
            genuine.sort()
        } else {
            genuine = usual
        }
        usualScores = usual
        averagePrecision =
            genuine.isEmpty ? nil : ScoreMetrics.averagePrecision(normal: genuine, anomalies: frauds)
        injectedAUROC = ScoreMetrics.auroc(normal: usual, anomalies: injected.sorted())
    }

    private var known: [Int] { labels.indices.filter { labels[$0] >= 0 } }

    /// See `InjectedPrecision`.
    var injectedPrecision: Double? {
        InjectedPrecision.value(usual: usualScores, injected: injected, kinds: kinds)
    }

    /// Known frauds among the rows.
    var knownFrauds: Int { labels.count { $0 == 1 } }

    /// Users with one; nil where it is not known whose the rows are.
    var defraudedUsers: Int? {
        guard users.count == labels.count else { return nil }
        return Set(zip(users, labels).filter { $0.1 == 1 }.map(\.0)).count
    }

    /// What the artifact's header says.
    ///
    /// Always: `holdout_rows`; with rows `alert_rate`, the share of them below the threshold, `usual_alert_rate`, that of
    /// rows that are not known to be frauds, `injected_auroc`, `injected_precision`, the same of each kind
    /// (`injected_precision_amount`, ...), `injected_recall`, the share of injected frauds below it, and
    /// `FalseAlertShares.metrics`. With labels: `accuracy` at the threshold; with
    /// labels of both kinds also `auroc`, `average_precision`, and `precision_at_budget`, of as many of the lowest
    /// scores as the contamination allows alerts.
    func metrics(threshold: Double, contamination: Double) -> [String: Double] {
        var metrics: [String: Double] = [:]
        // With what comparisons with other models add.
        metrics.reserveCapacity(24)
        metrics["holdout_rows"] = Double(scores.count)
        guard !scores.isEmpty else { return metrics }
        metrics["alert_rate"] = share(scores) { $0 < threshold }
        metrics["usual_alert_rate"] = share(usualScores) { $0 < threshold }
        metrics["injected_auroc"] = injectedAUROC
        let ofKinds = InjectedPrecision.ofKinds(usual: usualScores, injected: injected, kinds: kinds)
        metrics["injected_precision"] = InjectedPrecision.value(ofKinds)
        for (kind, precision) in ofKinds {
            guard let name = Injection(label: kind)?.name else { continue }
            metrics["injected_precision_" + name] = precision
        }
        metrics["injected_recall"] = share(injected) { $0 < threshold }
        // Of one user alone there is nothing to spread.
        if let first = users.first, users.contains(where: { $0 != first }) {
            let shares = FalseAlertShares(
                users: users, amounts: amounts, labels: labels, scores: scores, threshold: threshold)
            metrics.merge(shares.metrics()) { $1 }
        }
        let known = known
        guard !known.isEmpty else { return metrics }
        metrics["holdout_anomalies"] = Double(knownFrauds)
        metrics["accuracy"] = share(known) { (scores[$0] < threshold) == (labels[$0] == 1) }
        metrics["average_precision"] = averagePrecision
        guard averagePrecision != nil else { return metrics }
        let anomalous = known.map { labels[$0] == 1 }
        let knownScores = known.map { scores[$0] }
        metrics["auroc"] = ScoreMetrics.auroc(knownScores, anomalous: anomalous)
        let budget = max(1, Int((contamination * Double(known.count)).rounded()))
        metrics["precision_at_budget"] = ScoreMetrics.precision(
            knownScores, anomalous: anomalous, count: budget)
        return metrics
    }

    private func share<Element>(_ elements: [Element], _ isCounted: (Element) -> Bool) -> Double {
        Double(elements.count(where: isCounted)) / Double(max(elements.count, 1))
    }
}

/// How far a model can be relied on, without labels.
enum Stability {
    /// Spearman's correlation of the holdout's scores by this model and by one of another seed: below about 0.9 the
    /// ranking of alerts is a matter of chance, and more trees or rows are needed.
    static func acrossSeeds(_ fitted: FittedModel, _ set: PreparedSet, _ settings: FitSettings) throws
        -> Double?
    {
        let other = try fit(
            set.training, preprocessing: fitted.preprocessing,
            FitSettings(
                detector: settings.detector, parameters: settings.parameters, seed: settings.seed &+ 1,
                contamination: settings.contamination, isCancelled: settings.isCancelled))
        let rows = set.holdout.encoded(fitted.plan)
        return ScoreMetrics.rankCorrelation(
            try score(fitted.model, rows, columns: fitted.plan.columnCount),
            try score(other.model, rows, columns: fitted.plan.columnCount))
    }
}
