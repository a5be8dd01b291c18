import Foundation

/// What is done about a model that raises far more alerts than its budget.
public enum FloodPolicy: String, Sendable, Hashable, CaseIterable {
    /// It is said: in the log, the metrics and `GET /v1/models/{version}/drift`.
    case report
    /// The version that was active before serves again.
    case rollback
    /// A version with the threshold moved so that the budget holds serves, and its verdicts say so.
    case cap
}

/// What was done about a flood.
public enum FloodRemedy: Sendable, Hashable {
    case reported
    case rolledBack(to: Int)
    case capped(version: Int, threshold: Double)
}

extension Promotion {
    /// Takes what the policy says against a model's flood. Verdicts stay reproducible: either way another version, whose
    /// bytes are in the store, becomes active at a batch boundary.
    ///
    /// - Parameter fittingThreshold: The one that keeps the budget on the latest scores; nil: not known, it is reported.
    /// - Returns: `.reported` also where there is nothing to go back to, or it is capped already.
    /// - Throws: What `promote` does, and what the store does when a version is written.
    public func answerFlood(
        of tenant: Tenant, version: Int, fittingThreshold: Double?, policy: FloodPolicy,
        changes: [ModelChange]
    ) throws -> FloodRemedy {
        let reason = "alert flood of v\(version)"
        switch policy {
        case .report: return .reported
        case .rollback:
            // The change that made it active says what was before.
            guard let change = changes.last(where: { $0.to == version }), let before = change.from,
                before != version
            else { return .reported }
            try promote([tenant: before], by: "flood guard", reason: reason)
            return .rolledBack(to: before)
        case .cap:
            guard let fittingThreshold,
                let capped = try publishCapped(tenant, version, threshold: fittingThreshold)
            else { return .reported }
            try promote([tenant: capped], by: "flood guard", reason: reason)
            return .capped(version: capped, threshold: fittingThreshold)
        }
    }
}
