import Foundation
import Logging
import ServiceLifecycle

/// Removes answers that were kept for an `Idempotency-Key` and have had their time, at start and once an hour: the
/// next such call may be long in coming.
public struct AnswerUpkeep: Service {
    private let services: ManagementServices
    private let logger: Logger

    public init(_ services: ManagementServices, logger: Logger) {
        self.services = services
        self.logger = logger
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                let now = Int64(Date().timeIntervalSince1970 * 1_000)
                do {
                    try await services.blocking { [services] in try services.repeated.clean(now: now) }
                } catch {
                    logger.warning(
                        "old answers to calls cannot be removed from the store; tried again in an hour",
                        metadata: ["reason": "\(error)"])
                }
                try await Task.sleep(for: .seconds(3_600))
            }
        }
    }
}
