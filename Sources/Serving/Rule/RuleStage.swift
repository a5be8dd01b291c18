import Metrics
import Rules

/// The rules of a batch, and which of its transactions they decide about.
public struct BatchRules: Sendable {
    public let set: RuleSet
    /// By row: a place in the set's rules.
    fileprivate let deciding: [Int32: Int]
}

/// Stage 4b: finds the transactions that a rule decides about. Scores, thresholds and severities stay what they are.
/// Thread-safe.
public struct RuleStage: Sendable {
    private let current: CurrentRules?

    /// - Parameter rules: nil: none decides.
    public init(_ rules: CurrentRules?) { current = rules }

    /// The rules are taken once, so that all verdicts of a batch name one version.
    public func run(_ scored: consuming ScoredBatch) -> ScoredBatch { Self.run(scored, by: current?.current) }

    /// The rules of an earlier attempt at the same batch, so that it gives the same bytes, whatever has been changed in
    /// between.
    func run(_ scored: consuming ScoredBatch, asIn earlier: ScoredBatch) -> ScoredBatch {
        Self.run(scored, by: earlier.rules?.set)
    }

    static func run(_ scored: consuming ScoredBatch, by rules: RuleSet?) -> ScoredBatch {
        guard let rules, !rules.rules.isEmpty else { return scored }
        let transactions = scored.windowed.consumed.transactions
        var deciding: [Int32: Int] = [:]
        for row in 0..<scored.count {
            let isAnomaly = scored.isAnomaly(row)
            guard isAnomaly || rules.hasAlerting else { continue }
            if let place = rules.deciding(row, of: transactions, isAnomaly: isAnomaly) {
                // A batch has far fewer rows than that.
                deciding[Int32(truncatingIfNeeded: row)] = place
            }
        }
        scored.rules = BatchRules(set: rules, deciding: deciding)
        return scored
    }
}

extension ScoredBatch {
    /// The rule that decides about a transaction; nil: none does.
    public func rule(_ row: Int) -> Rule? {
        rules.flatMap { rules in
            rules.deciding[Int32(truncatingIfNeeded: row)].map { rules.set.rules[$0] }
        }
    }

    /// Whether people are to be told: an anomaly that no rule suppresses, or what a rule makes an alert.
    public func isAlert(_ row: Int) -> Bool { rule(row).map { $0.action == .alert } ?? isAnomaly(row) }

    /// Whether the verdict goes where verdicts are published.
    func isPublished(_ row: Int, _ publish: PublishedVerdicts) -> Bool {
        rule(row)?.isPublished ?? (publish == .all || isAnomaly(row))
    }

    /// Anomalies, suppressed or not, and what rules make alerts, in their order.
    public var notableRows: [Int] {
        (0..<count).filter { isAnomaly($0) || rule($0) != nil }
    }

    func countRulings() {
        guard let rules else { return }
        let alerts = rules.deciding.values.count { rules.set.rules[$0].action == .alert }
        Counter(label: "ml_alerts_by_rule_total").increment(by: alerts)
        Counter(label: "ml_anomalies_suppressed_total").increment(by: rules.deciding.count - alerts)
    }
}
