import DetectorAPI
import Lake
import Models
import Plugins

/// What to train.
public struct TrainingRequest: Codable, Sendable, Hashable {
    /// One user's model; nil: the global one, or everybody's.
    public var userID: String?
    /// A model for every user with enough history, in one pass over the lake.
    public var allUsers: Bool
    /// Both included.
    public var from: LakeDay
    public var to: LakeDay
    public var detectorID: String
    /// As a person would type them; checked against the detector's own description.
    public var parameters: [String: String]
    public var seed: UInt64
    /// The share of training rows that the threshold may call anomalous.
    public var contamination: Double
    /// Promote what was trained; a user's model only if it has earned it.
    public var promote: Bool

    public static let defaultDetector = "isolation-forest"
    public static let maximumDays = 3_660

    public init(
        userID: String? = nil, allUsers: Bool = false, from: LakeDay, to: LakeDay,
        detectorID: String = defaultDetector, parameters: [String: String] = [:], seed: UInt64 = 0,
        contamination: Double = 0.01, promote: Bool = false
    ) {
        self.userID = userID
        self.allUsers = allUsers
        self.from = from
        self.to = to
        self.detectorID = detectorID
        self.parameters = parameters
        self.seed = seed
        self.contamination = contamination
        self.promote = promote
    }

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }

    /// - Throws: `TrainingError.invalidRequest` naming the field at fault.
    /// - Returns: The detector and its checked parameters.
    @discardableResult
    public func check(_ registry: DetectorRegistry) throws -> (LoadedDetector, ParameterValues) {
        if let userID, !(1...256).contains(userID.utf8.count) {
            throw TrainingError.invalidRequest(field: "user_id", reason: "it must have 1 to 256 bytes")
        }
        if allUsers, userID != nil {
            throw TrainingError.invalidRequest(field: "all_users", reason: "it cannot go with user_id")
        }
        guard from <= to else {
            throw TrainingError.invalidRequest(
                field: "date_range", reason: "its start \(from) is after its end \(to)")
        }
        guard from.distance(to: to) < Self.maximumDays else {
            throw TrainingError.invalidRequest(
                field: "date_range", reason: "it spans over \(Self.maximumDays) days")
        }
        guard contamination > 0, contamination <= 0.5 else {
            throw TrainingError.invalidRequest(
                field: "contamination", reason: "it must be above 0 and at most 0.5")
        }
        guard let detector = registry.detector(id: detectorID) else {
            let known = registry.detectors.map(\.info.id).sorted().joined(separator: ", ")
            throw TrainingError.invalidRequest(
                field: "detector", reason: "there is no detector \(detectorID); loaded are: \(known)")
        }
        do {
            return (detector, try detector.info.checked(parameters.mapValues { ParameterValue(parsing: $0) }))
        } catch DetectorError.invalidParameter(let name, let reason) {
            throw TrainingError.invalidRequest(field: "parameters.\(name)", reason: reason)
        }
    }
}

/// What training cannot do.
public enum TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
    case invalidRequest(field: String, reason: String)
    case noData(String)
    /// An idempotency key came with another request before.
    case keyReused(String)
    case cancelled

    public var description: String {
        switch self {
        case .invalidRequest(let field, let reason): "\(field): \(reason)"
        case .noData(let reason): reason
        case .keyReused(let key): "the idempotency key \(key) was used for another request"
        case .cancelled: "cancelled"
        }
    }
}
