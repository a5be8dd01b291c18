/// One change of what is active for a tenant.
public struct ModelChange: Codable, Sendable, Hashable {
    /// nil: the global model.
    public var userID: String?
    /// 1 for a tenant's first change, and so on: of two changes the later one says what is active.
    public var sequence: Int
    /// nil: none was active.
    public var from: Int?
    /// nil: deactivated.
    public var to: Int?
    /// Of the artifact that became active, hexadecimal.
    public var sha256: String?
    /// In which pack it lies; nil: it is an object of its own.
    public var place: PackPlace?
    public var by: String
    public var reason: String
    /// By what the version was let through, or not; nil: nobody had asked.
    public var gate: [GateCheck]?
    /// Epoch milliseconds.
    public var timeMilliseconds: Int64

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }
}

/// What is active for a tenant.
public struct ActiveModel: Sendable, Hashable {
    public var version: Int
    /// Of the whole artifact.
    public var sha256: ArtifactHash?
    /// Of the change that made it active.
    public var sequence: Int
    /// In which pack it lies; nil: it is an object of its own.
    public var place: PackPlace?

    public init(
        version: Int, sha256: ArtifactHash? = nil, sequence: Int = 1, place: PackPlace? = nil
    ) {
        self.version = version
        self.sha256 = sha256
        self.sequence = sequence
        self.place = place
    }
}

/// What is to be active for a tenant.
public struct Activation: Sendable, Hashable {
    public var tenant: Tenant
    /// nil: nothing.
    public var version: Int?
    public var sha256: ArtifactHash?
    /// In which pack it lies; nil: it is an object of its own.
    public var place: PackPlace?
    /// Why; nil: for the reason of the whole change.
    public var reason: String?
    /// What its header says.
    public var gate: [GateCheck] = []
    /// What was active when this was decided: if somebody else has changed it since, nothing is changed, which is an error
    /// unless this only takes a version out of serving. nil: it does not matter.
    public var before: Before?

    public enum Before: Sendable, Hashable {
        case nothing
        case version(Int)
    }

    public init(
        _ tenant: Tenant, version: Int?, sha256: ArtifactHash? = nil, place: PackPlace? = nil,
        reason: String? = nil
    ) {
        self.place = place
        self.tenant = tenant
        self.version = version
        self.sha256 = sha256
        self.reason = reason
    }
}
