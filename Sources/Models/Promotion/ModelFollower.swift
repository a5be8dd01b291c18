import Foundation
import Logging
import Retrying

/// Follows the events of promotions, on the thread that calls `run`, and has this process serve what the catalogue says
/// then. Once in a while it looks into the catalogue without having heard anything.
public final class ModelFollower: Sendable {
    private let events: any ModelEvents
    private let promotion: Promotion
    private let logger: Logger
    private let pollInterval: Duration
    private let erasures: ErasureFollower?
    private let onHeard: @Sendable ([ModelChange]) -> Void
    private let stopping = StopSignal()

    /// - Parameters:
    ///   - erasures: nil: this process keeps no windows.
    ///   - onHeard: Called with what was promoted, here or by another process.
    public init(
        events: any ModelEvents, promotion: Promotion, pollSeconds: Int, logger: Logger,
        erasures: ErasureFollower? = nil,
        onHeard: @escaping @Sendable ([ModelChange]) -> Void = { _ in }
    ) {
        self.events = events
        self.promotion = promotion
        self.logger = logger
        pollInterval = .seconds(pollSeconds)
        self.erasures = erasures
        self.onHeard = onHeard
    }

    public func stop() { stopping.give() }

    public func run() {
        var cursor: String?
        var isBehind = false
        // At once: somebody may have been erased while this process was away.
        var polled = ContinuousClock.now - pollInterval
        while !stopping.isGiven {
            do {
                // What was said while nobody listened is in the catalogue.
                if isBehind {
                    cursor = try events.read(after: nil, waitMilliseconds: 1).cursor
                    isBehind = try !promotion.start(logger: logger)
                }
                let (hints, next) = try events.read(after: cursor, waitMilliseconds: 500)
                if !hints.isEmpty {
                    onHeard(hints)
                    tell(try promotion.apply(hints))
                }
                cursor = next
                if ContinuousClock.now - polled >= pollInterval {
                    polled = .now
                    tell(try promotion.poll(logger: logger))
                    try erasures?.run()
                }
            } catch ModelEventsError.placeLost {
                isBehind = true
            } catch {
                if !isBehind {
                    logger.warning("promotions cannot be followed", metadata: ["reason": "\(error)"])
                }
                isBehind = true
                stopping.wait(.milliseconds(500))
            }
        }
    }

    private func tell(_ changes: [ModelChange]) {
        for change in changes.prefix(20) {
            logger.notice(
                change.to == nil ? "a tenant has no model any more" : "a model was promoted",
                metadata: [
                    "tenant": "\(change.tenant)", "version": "\(change.to.map(String.init) ?? "none")",
                ])
        }
        if changes.count > 20 {
            logger.notice("further models were promoted", metadata: ["count": "\(changes.count - 20)"])
        }
    }
}
