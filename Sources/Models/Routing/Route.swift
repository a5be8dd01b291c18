/// Why a user's own model did not serve.
public enum FallbackReason: String, Sendable, Hashable, CaseIterable {
    case noUserModel = "no-user-model"
    case loadFailed = "load-failed"
    case quarantined
    /// The process that the model's detector runs in has crashed and is started again.
    case detectorAway = "detector-away"
}

public enum Route: Sendable {
    case user(ReadyModel)
    case global(ReadyModel, fallback: FallbackReason)
    /// There is no global model.
    case none
}

/// A version that does not serve here although it is active.
public struct QuarantinedModel: Sendable, Hashable {
    public let tenant: Tenant
    public let version: Int
    /// `loadFailed` or `quarantined`.
    public let fallback: FallbackReason
    /// For people.
    public let reason: String
}
