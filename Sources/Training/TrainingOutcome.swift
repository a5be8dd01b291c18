/// Stages of a training job, in order.
public enum TrainingStage: String, Codable, Sendable, CaseIterable {
    case lake, prepare, fit, evaluate, store, promote
}

/// What a training job made.
public struct TrainingOutcome: Codable, Sendable, Hashable {
    public struct Model: Codable, Sendable, Hashable {
        /// `global`, or the user's id.
        public let tenant: String
        public let version: Int
        /// Whether it is the active version now.
        public let isPromoted: Bool
    }

    /// Of a job for all users at most `maximumModels`, promoted ones first; `metrics` counts all.
    public var models: [Model]
    /// Of one model: those in its artifact's header. Of all users: `users` seen, `users_trained`, `users_earned`,
    /// `users_promoted`, `rows`.
    public var metrics: [String: Double]

    public static let maximumModels = 10_000
}
