import Foundation
import Logging
import Synchronization

/// Follows the events of promotions, on the thread that calls `run`, and applies them here.
public final class ModelFollower: Sendable {
    private let events: any ModelEvents
    private let promotion: Promotion
    private let logger: Logger
    private let isStopping = Mutex(false)

    public init(events: any ModelEvents, promotion: Promotion, logger: Logger) {
        self.events = events
        self.promotion = promotion
        self.logger = logger
    }

    public func stop() { isStopping.withLock { $0 = true } }

    public func run() {
        var cursor: String?
        var isBehind = false
        while !isStopping.withLock({ $0 }) {
            do {
                // What was said while nobody listened is in the catalogue.
                if isBehind {
                    cursor = try events.read(after: nil, waitMilliseconds: 1).cursor
                    isBehind = try !promotion.start(logger: logger)
                }
                let (changes, next) = try events.read(after: cursor, waitMilliseconds: 500)
                try promotion.apply(changes)
                for change in changes {
                    logger.notice(
                        change.to == nil ? "a tenant has no model any more" : "a model was promoted",
                        metadata: [
                            "tenant": "\(change.tenant)",
                            "version": "\(change.to.map(String.init) ?? "none")",
                        ])
                }
                cursor = next
            } catch ModelEventsError.placeLost {
                isBehind = true
            } catch {
                if !isBehind {
                    logger.warning("promotions cannot be followed", metadata: ["reason": "\(error)"])
                }
                isBehind = true
                Thread.sleep(forTimeInterval: 0.5)
            }
        }
    }
}
