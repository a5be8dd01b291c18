import Models

/// How a candidate does beside the active version, in this process since it began.
public struct ShadowReport: Sendable, Hashable {
    /// A transaction that one of the two alone alerts on.
    public struct Change: Sendable, Hashable {
        public let transactionID: String
        public let userID: String
        /// Milliseconds since 1970 UTC.
        public let timeMilliseconds: Int64
        /// By the model that alerts.
        public let severity: Double?
    }

    public let plan: ShadowPlan
    /// Why it has ended; nil: it goes on.
    public internal(set) var ending: String?
    /// The version that serves; nil: nothing has been scored yet. When another is promoted, everything is counted anew.
    public internal(set) var activeVersion: Int?
    /// The shares of alerts that the thresholds were chosen for.
    public internal(set) var activeBudget: Double?
    public internal(set) var candidateBudget: Double?
    /// Scored by both. Of users whose own model serves, none.
    public internal(set) var transactions = 0
    /// Left out, because the candidate did not keep up.
    public internal(set) var skipped = 0
    public internal(set) var activeAlerts = 0
    public internal(set) var candidateAlerts = 0
    public internal(set) var newAlerts = 0
    public internal(set) var droppedAlerts = 0
    /// The latest of them.
    public internal(set) var new: [Change] = []
    public internal(set) var dropped: [Change] = []
    /// How alike the two order the transactions, -1 to 1; nil: too few to tell, or one gives all the same score.
    public internal(set) var rankCorrelation: Double?
    /// That the candidate's scoring took, on a thread of its own.
    public internal(set) var seconds = 0.0

    /// Of a plan of which nothing has been counted.
    public init(_ plan: ShadowPlan) { self.plan = plan }
}
