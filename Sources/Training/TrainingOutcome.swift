import Models

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
    /// What was in the lake and not used, and why, in sentences; nil in outcomes of before there were any.
    public var notes: [String]?
    /// The detector of one model.
    public var detector: String?
    /// What `detector: auto` chose from, of one model.
    public var candidates: [CandidateJudgement]?
    /// By what it was let through to serving, or not; of one model.
    public var gate: [GateCheck]?
    /// What was read of the lake; nil where nothing was, and in outcomes of before it was counted.
    public var reading: LakeReading?
    /// What a backtest found.
    public var backtest: BacktestComparison?

    public init(
        models: [Model], metrics: [String: Double], detector: String? = nil,
        candidates: [CandidateJudgement] = [], gate: [GateCheck] = [], notes: [String] = []
    ) {
        self.models = models
        self.metrics = metrics
        self.detector = detector
        self.candidates = candidates.isEmpty ? nil : candidates
        self.gate = gate.isEmpty ? nil : gate
        self.notes = notes.isEmpty ? nil : notes
    }

    public static let maximumModels = 10_000

    /// Takes out what names a user who did not ask for the job.
    ///
    /// - Parameter isOfAllUsers: The models are users'. In another job `global` is the global model, not the user of that name.
    /// - Returns: Whether there was anything.
    mutating func erase(userID: String, isOfAllUsers: Bool) -> Bool {
        let before = models.count
        if isOfAllUsers { models.removeAll { $0.tenant.utf8.elementsEqual(userID.utf8) } }
        return (backtest?.erase(userID: userID) ?? false) || models.count < before
    }
}
