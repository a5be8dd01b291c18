import Models
import NIOPosix
import Outcomes
import Plugins
import Rules
import Serving
import Training

/// How a user's window is read and removed.
public struct WindowAccess: Sendable {
    public struct Removal: Sendable {
        public let removed: Int
        /// What is still to happen; nil: nothing.
        public let pending: String?

        public init(removed: Int, pending: String? = nil) {
            self.removed = removed
            self.pending = pending
        }
    }

    /// For people.
    public let location: String
    public let look: @Sendable (_ userID: String) throws -> WindowLook
    public let remove: @Sendable (_ userID: String) throws -> Removal

    public init(
        location: String, look: @escaping @Sendable (_ userID: String) throws -> WindowLook,
        remove: @escaping @Sendable (_ userID: String) throws -> Removal
    ) {
        self.location = location
        self.look = look
        self.remove = remove
    }
}

/// What came of making a verdict again from its transactions and its model.
public enum VerdictAudit: Sendable {
    /// The same bytes.
    case reproduced
    /// The first difference, for people.
    case differs(String)
    /// The transaction is in neither the stream nor the lake.
    case missing
}

/// The use cases that the routes call.
public struct ManagementServices: Sendable {
    public let jobs: any JobStore
    public let registry: DetectorRegistry
    public let models: ModelStore
    public let catalogue: Catalogue
    public let promotion: Promotion
    /// nil: this process does not serve.
    public let serving: ServingStatus?
    /// What the models that score here say of the stream; nil: this process does not serve.
    public let watch: ModelWatch?
    /// What a candidate would say; nil: this process does not score.
    public let shadow: ShadowScoring?
    /// nil: this process does not score.
    public let recent: RecentAnomalies?
    /// nil: this process has no part in windows.
    public let windows: WindowAccess?
    /// nil: this process has no part in windows.
    public let scoring: OnDemandScoring?
    public let labels: LabelBook
    public let labelled: LabelledTransactions
    public let rules: RuleStore
    /// The rules that this process scores with; nil: it does not score.
    public let currentRules: CurrentRules?
    public let events: EventHub
    /// Makes a verdict again; blocks. nil: this process has not what it takes.
    public let audit: (@Sendable (_ verdict: [UInt8]) throws -> VerdictAudit)?
    public let metrics: PrometheusRegistry
    public let keys: KeyRing
    /// nil: nobody asked for one.
    public let auditLog: AuditLog?
    /// Where calls that block run.
    /// How many people a promotion takes: 1 or 2.
    public let promotionIdentities: Int
    public let threads: NIOThreadPool
    let repeated: RepeatedCalls

    public init(
        jobs: any JobStore, registry: DetectorRegistry, models: ModelStore, catalogue: Catalogue,
        promotion: Promotion, serving: ServingStatus?, watch: ModelWatch?,
        shadow: ShadowScoring? = nil, recent: RecentAnomalies?,
        windows: WindowAccess?, scoring: OnDemandScoring? = nil, labels: LabelBook,
        labelled: LabelledTransactions, rules: RuleStore, currentRules: CurrentRules? = nil,
        events: EventHub = EventHub(),
        audit: (@Sendable (_ verdict: [UInt8]) throws -> VerdictAudit)? = nil, metrics: PrometheusRegistry,
        keys: KeyRing, auditLog: AuditLog? = nil, promotionIdentities: Int = 1, threads: NIOThreadPool
    ) {
        self.jobs = jobs
        self.registry = registry
        self.models = models
        self.catalogue = catalogue
        self.promotion = promotion
        self.serving = serving
        self.watch = watch
        self.shadow = shadow
        self.recent = recent
        self.windows = windows
        self.scoring = scoring
        self.labels = labels
        self.labelled = labelled
        self.rules = rules
        self.currentRules = currentRules
        self.events = events
        self.audit = audit
        self.metrics = metrics
        self.keys = keys
        self.auditLog = auditLog
        self.promotionIdentities = promotionIdentities
        self.threads = threads
        repeated = RepeatedCalls(objects: models.objects)
    }

    func blocking<Result: Sendable>(_ call: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await threads.runIfActive(call)
    }
}
