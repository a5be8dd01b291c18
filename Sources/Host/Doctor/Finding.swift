/// What `doctor` found of one part.
struct Finding: Sendable, Encodable {
    enum State: String, Sendable, Encodable {
        case good = "ok"
        /// It works, and something about it will hurt one day.
        case warning
        case bad = "failed"
        /// Nothing answers there.
        case away
    }

    /// `kafka`, `redis`, ...
    let part: String
    let check: String
    let state: State
    let detail: String
    /// What to do; empty when there is nothing to do.
    let advice: String

    init(_ part: String, _ check: String, _ state: State, _ detail: String, advice: String = "") {
        self.part = part
        self.check = check
        self.state = state
        self.detail = detail
        self.advice = advice
    }

    /// Runs a check; an error that it throws is its finding.
    static func of(
        _ part: String, _ check: String, advice: String, isRetryable: (any Error) -> Bool,
        _ body: () throws -> Finding
    ) -> Finding {
        do {
            return try body()
        } catch {
            return Finding(part, check, isRetryable(error) ? .away : .bad, "\(error)", advice: advice)
        }
    }
}
