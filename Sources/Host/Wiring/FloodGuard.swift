import Logging
import Management
import Metrics
import Models
import NIOPosix
import ServiceLifecycle
import Serving
import Synchronization

/// Looks now and then whether a model raises far more alerts than it may, and does what the policy says, once a version.
struct FloodGuard: Service {
    let watch: ModelWatch
    let promotion: Promotion
    let catalogue: Catalogue
    let router: ModelRouter
    let policy: FloodPolicy
    let events: EventHub
    let interval: Duration
    let threads: NIOThreadPool
    let logger: Logger

    private struct Answered: Hashable {
        let tenant: Tenant
        let version: Int
    }

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            var answered: Set<Answered> = []
            while true {
                try await Task.sleep(for: interval)
                let known = answered
                let now = try await threads.runIfActive { look(known) }
                answered.formUnion(now)
            }
        }
    }

    /// - Returns: The versions that something was done about.
    private func look(_ answered: Set<Answered>) -> [Answered] {
        let table = router.snapshot()
        watch.exportMetrics { table.version(of: $0) }
        var done: [Answered] = []
        for flood in watch.floods(active: { table.version(of: $0) }) {
            let key = Answered(tenant: flood.tenant, version: flood.version)
            guard !answered.contains(key) else { continue }
            do {
                guard try catalogue.active(flood.tenant) == flood.version else { continue }
                let remedy = try promotion.answerFlood(
                    of: flood.tenant, version: flood.version, fittingThreshold: flood.fittingThreshold,
                    policy: policy, changes: try catalogue.changes(of: flood.tenant))
                done.append(key)
                events.note(flood, remedy: Self.words(remedy))
                Counter(label: "ml_alert_floods_total").increment()
                logger.error(
                    "alert flood: the model raises far more alerts than its budget",
                    metadata: [
                        "model": "\(flood.tenant) v\(flood.version)", "alerts": "\(flood.alerts)",
                        "transactions": "\(flood.transactions)", "budget": "\(flood.budget)",
                        "remedy": "\(Self.words(remedy))",
                    ])
            } catch {
                // Another look in a moment: the store may be away.
                logger.error(
                    "an alert flood could not be answered",
                    metadata: ["model": "\(flood.tenant) v\(flood.version)", "reason": "\(error)"])
            }
        }
        return done
    }

    private static func words(_ remedy: FloodRemedy) -> String {
        switch remedy {
        case .reported: "none: look at GET /v1/models/VERSION/drift, and retrain or roll back"
        case .rolledBack(let version): "rolled back to v\(version)"
        case .capped(let version, let threshold): "v\(version) with the threshold lowered to \(threshold)"
        }
    }
}
