import Foundation

/// One load that several threads wait for.
final class ModelFlight: @unchecked Sendable {
    // Safe: `outcome` is used only with `condition` locked.
    private let condition = NSCondition()
    private var outcome: Result<ModelRouter.Found, any Error>?

    func finish(_ outcome: Result<ModelRouter.Found, any Error>) {
        condition.lock()
        defer { condition.unlock() }
        self.outcome = outcome
        condition.broadcast()
    }

    func wait() throws -> ModelRouter.Found {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if let outcome { return try outcome.get() }
            condition.wait()
        }
    }
}
