import DetectorAPI
import Plugins

/// A detector with its parameters, and what it is to see.
struct Candidate: Sendable {
    /// Which features a global model sees.
    enum Features: String, Sendable {
        case all
        /// Without those that tell users apart (`Persistence`).
        case transaction
    }

    let detector: LoadedDetector
    let parameters: ParameterValues
    /// What was asked for beside the defaults.
    let named: [String: String]
    let features: Features

    /// - Parameter features: nil: all for detectors that learn from labels, which find out themselves what tells, else
    ///   those of the transaction.
    init(
        detector: LoadedDetector, parameters: ParameterValues, named: [String: String] = [:],
        features: Features? = nil
    ) {
        self.detector = detector
        self.parameters = parameters
        self.named = named
        self.features = features ?? (Self.learningIDs.contains(detector.info.id) ? .all : .transaction)
    }

    /// Those that fit to labels, and cannot be had without.
    private static let learningIDs: Set = ["boosted-trees"]
    /// Labelled frauds among the training rows that such a one needs, to be worth a try.
    private static let minimumFrauds = 50

    /// `ensemble learn=false`.
    var name: String {
        ([detector.info.id] + named.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }).joined(separator: " ")
    }

    /// Of candidates that are as good as equal, the one to take.
    var isPreferred: Bool { detector.info.id == "tail-surprise" }

    /// Whether it is fitted to labels, and cannot be had without.
    var isLearner: Bool { Self.learningIDs.contains(detector.info.id) }

    /// Whether there are labels enough to fit it.
    func isAllowed(by rows: RowTable) -> Bool {
        guard isLearner else { return true }
        return rows.labels.count { $0 == 1 } >= Self.minimumFrauds && rows.labels.contains(0)
    }

    /// What `auto` tries for the global model: every loaded detector with its defaults, forests also with all features,
    /// ensembles also with the weights that they were given.
    static func automatic(_ registry: DetectorRegistry) -> [Candidate] {
        registry.detectors.sorted { $0.info.id < $1.info.id }.flatMap { detector -> [Candidate] in
            func candidate(_ named: [String: String] = [:], _ features: Features? = nil) -> Candidate? {
                let values = named.mapValues { ParameterValue(parsing: $0) }
                guard let parameters = try? detector.info.checked(values) else { return nil }
                return Candidate(
                    detector: detector, parameters: parameters, named: named, features: features)
            }
            let tried: [Candidate?]
            switch detector.info.id {
            case "isolation-forest": tried = [candidate(), candidate([:], .all)]
            case "ensemble": tried = [candidate(["learn": "false"]), candidate([:], .all)]
            default: tried = [candidate()]
            }
            return tried.compactMap { $0 }
        }
    }

    /// What `auto` is for a user's own model: the first of these that is loaded, so that a million users are trained in
    /// one pass. Whether it serves is for the user's own holdout to say.
    static func ofUser(_ registry: DetectorRegistry) -> [Candidate] {
        let first = ["tail-surprise", "isolation-forest"].lazy.compactMap { registry.detector(id: $0) }.first
        guard let detector = first ?? registry.detectors.min(by: { $0.info.id < $1.info.id }),
            let parameters = try? detector.info.checked([:])
        else { return [] }
        return [Candidate(detector: detector, parameters: parameters, features: .all)]
    }
}
