import Foundation

/// What is done about a model that raises far more alerts than its budget.
public enum FloodPolicy: String, Sendable, Hashable, CaseIterable {
    /// It is said: in the log, the metrics and `GET /v1/models/{version}/drift`.
    case report
    /// The version that was active before serves again, of those that were not taken out for a flood themselves.
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
            guard let before = Self.versionBefore(version, changes) else { return .reported }
            try promote([tenant: before], by: Self.floodGuard, reason: reason)
            return .rolledBack(to: before)
        case .cap:
            guard let fittingThreshold,
                let capped = try publishCapped(tenant, version, threshold: fittingThreshold)
            else { return .reported }
            try promote([tenant: capped], by: Self.floodGuard, reason: reason)
            return .capped(version: capped, threshold: fittingThreshold)
        }
    }

    /// Who the history says has answered a flood.
    private static let floodGuard = "flood guard"

    /// The version that served before one that floods and before those that have flooded; nil: there is none, or nothing was
    /// active then.
    private static func versionBefore(_ version: Int, _ changes: [ModelChange]) -> Int? {
        var flooded: Set = [version]
        for change in changes {
            if change.by == floodGuard {
                if let from = change.from { flooded.insert(from) }
            } else if let to = change.to, to != version {
                // Somebody trusts it again.
                flooded.remove(to)
            }
        }
        guard let last = changes.lastIndex(where: { $0.to == version }) else { return nil }
        for change in changes[...last].reversed() {
            guard let from = change.from else { return nil }
            if !flooded.contains(from) { return from }
        }
        return nil
    }
}
