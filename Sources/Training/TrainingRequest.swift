import Crypto
import DetectorAPI
import Exact
import Features
import Foundation
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
    /// A detector's id, or `auto`: all that the data allow, of which the best on the holdout is kept.
    public var detectorID: String
    /// As a person would type them; checked against the detector's own description.
    public var parameters: [String: String]
    public var seed: UInt64
    /// The alert budget: the share of training rows that the threshold may call anomalous. Above 0, at most 0.5.
    public var contamination: Double
    /// What categorical features become; nil: native for detectors that make use of categories, else one-hot.
    public var encoding: Encoding?
    /// Names of features that the model does not get; `references` stands for all of those of tables. nil: none.
    public var leftOut: [String]?
    /// Labels that became known later are as if they did not exist; nil: all that there are. Milliseconds since 1970 UTC.
    public var asOfMilliseconds: Int64?
    /// Of all users only those with enough transactions on this day or later; nil: all with enough history.
    public var changedSince: LakeDay?
    /// Make the model active: by the gate, unless `promotion` says otherwise.
    public var promote: Bool
    /// Instead of training: two versions compared on these days. nil: training.
    public internal(set) var backtest: BacktestRequest?
    /// nil: by the gate with `promote`, else by hand.
    private var chosenPromotion: Promotion?

    /// Who lets a model through to serving.
    public enum Promotion: String, Codable, Sendable, Hashable, CaseIterable {
        /// The gate: no worse than the active version on the same holdout, within its alert budget there.
        case gated
        /// A person, later: it is stored as a candidate.
        case manual
        /// Whoever asked: the global model becomes active whatever the gate says, which is noted all the same.
        case auto
    }

    public var promotion: Promotion { chosenPromotion ?? (promote ? .gated : .manual) }

    private enum CodingKeys: String, CodingKey {
        case changedSince, userID, allUsers, from, to, detectorID, parameters, seed, contamination, encoding,
            promote
        case leftOut, asOfMilliseconds, backtest
        case chosenPromotion = "promotion"
    }

    public typealias Encoding = Preprocessing.Encoding

    public static let defaultDetector = automatic
    public static let automatic = "auto"
    /// In `leftOut`: every feature of reference tables.
    public static let references = "references"

    /// The features that a model does not get: references are of use to whoever learns from labels; to others they are
    /// merely more columns.
    func leftOut(usesReferences: Bool) -> Set<String> {
        var names = Set(leftOut ?? [])
        if !usesReferences || names.contains(Self.references) {
            names.formUnion(UserWindow.referencePlaces.map { FeatureSchema.numeric[$0].name })
        }
        return names
    }

    /// A digest of what requests of named users have in common that one pass over the lake can serve: all but whose model it
    /// is, and whether it may serve. nil: it is no named user's.
    var kin: String? {
        guard userID != nil else { return nil }
        var rest = self
        rest.userID = nil
        rest.promote = false
        rest.chosenPromotion = nil
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(rest)).map { Hex.text(SHA256.hash(data: $0).prefix(16)) }
    }

    /// Ten years.
    public static let maximumDays = 3_660

    public init(
        userID: String? = nil, allUsers: Bool = false, from: LakeDay, to: LakeDay,
        detectorID: String = defaultDetector, parameters: [String: String] = [:], seed: UInt64 = 0,
        contamination: Double = 0.01, encoding: Encoding? = nil, asOfMilliseconds: Int64? = nil,
        leftOut: [String]? = nil, promote: Bool = false, promotion: Promotion? = nil
    ) {
        self.asOfMilliseconds = asOfMilliseconds
        self.leftOut = leftOut
        self.userID = userID
        self.allUsers = allUsers
        self.from = from
        self.to = to
        self.detectorID = detectorID
        self.parameters = parameters
        self.seed = seed
        self.contamination = contamination
        self.encoding = encoding
        self.promote = promotion.map { $0 != .manual } ?? promote
        chosenPromotion = promotion
    }

    /// Whose model; of no meaning when `allUsers`.
    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }

    /// The encoding of that name.
    ///
    /// - Throws: `TrainingError.invalidRequest` with those that there are.
    public static func encoding(_ name: String) throws -> Encoding {
        if let encoding = Encoding(rawValue: name) { return encoding }
        let known = Encoding.allCases.map(\.rawValue).joined(separator: ", ")
        throw TrainingError.invalidRequest(
            field: "encoding", reason: "there is no encoding \(name); there are: \(known)")
    }

    /// - Throws: `TrainingError.invalidRequest` naming the field at fault.
    /// - Returns: What to fit: one candidate, or with `auto` several.
    @discardableResult
    func candidates(_ registry: DetectorRegistry) throws -> [Candidate] {
        func check(_ condition: Bool, _ field: String, _ reason: @autoclosure () -> String) throws {
            if !condition { throw TrainingError.invalidRequest(field: field, reason: reason()) }
        }
        if let userID {
            try check((1...256).contains(userID.utf8.count), "user_id", "it must have 1 to 256 bytes")
            try check(!allUsers, "all_users", "it cannot go with user_id")
        }
        try check(from <= to, "date_range", "its start \(from) is after its end \(to)")
        try check(
            from.distance(to: to) < Self.maximumDays, "date_range",
            "it spans \(from.distance(to: to) + 1) days; at most \(Self.maximumDays) are allowed")
        try check(
            contamination > 0 && contamination <= 0.5, "contamination", "it must be above 0 and at most 0.5")
        let strangers = (leftOut ?? []).filter { name in
            name != Self.references && !FeatureSchema.numeric.contains { $0.name == name }
                && !FeatureSchema.categorical.contains { $0.feature.name == name }
        }
        try check(
            strangers.isEmpty, "leave_out",
            "there is no feature \(strangers.joined(separator: ", ")); docs/features.md lists them")
        if detectorID == Self.automatic {
            try check(parameters.isEmpty, "parameters", "detector auto has none; name the detector that has")
            try check(encoding == nil, "encoding", "detector auto chooses it; name a detector")
            let isOfUsers = allUsers || userID != nil
            let candidates = isOfUsers ? Candidate.ofUser(registry) : Candidate.automatic(registry)
            try check(!candidates.isEmpty, "detector", "no detector is loaded")
            return candidates
        }
        guard let detector = registry.detector(id: detectorID) else {
            let known = ([Self.automatic] + registry.detectors.map(\.info.id).sorted()).joined(
                separator: ", ")
            throw TrainingError.invalidRequest(
                field: "detector", reason: "there is no detector \(detectorID); there are: \(known)")
        }
        try check(
            encoding != .native || detector.info.uses.contains(.categories), "encoding",
            "detector \(detectorID) would take the codes of categories for numbers; use one-hot")
        do {
            return [
                Candidate(
                    detector: detector,
                    parameters: try detector.info.checked(
                        parameters.mapValues { ParameterValue(parsing: $0) }),
                    named: parameters)
            ]
        } catch DetectorError.invalidParameter(let name, let reason) {
            throw TrainingError.invalidRequest(field: "parameters.\(name)", reason: reason)
        }
    }

    /// - Throws: `TrainingError.invalidRequest` naming the field at fault.
    public func check(_ registry: DetectorRegistry) throws { try candidates(registry) }
}
