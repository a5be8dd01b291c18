import DetectorAPI
import Plugins

/// What is loaded, with its parameters, and what was refused: for machines.
public struct DetectorsView: Encodable, Sendable {
    struct Parameter: Encodable {
        let name: String
        let type: String
        let `default`: String
        let meaning: String
    }

    struct Loaded: Encodable {
        let id: String
        let version: String
        let summary: String
        let path: String?
        let sha256: String
        let capabilities: [DetectorCapability]
        /// New models are this one's; an older one of the same id keeps the models that it has.
        let isCurrent: Bool
        /// `process`, or `none`: in this one.
        let isolation: String
        let needsLabels: Bool
        /// What its loops run on, `AVX2`; nil: nothing in particular.
        let vectorUnit: String?
        let parameters: [Parameter]
    }

    struct Refused: Encodable {
        let path: String
        let reason: String
    }

    let loaded: [Loaded]
    let refused: [Refused]

    public init(_ registry: DetectorRegistry) {
        let detectors = registry.detectors
        loaded = detectors.enumerated().map { index, detector in
            Loaded(
                id: detector.info.id, version: detector.info.version, summary: detector.info.summary,
                path: detector.path, sha256: detector.sha256,
                capabilities: detector.capabilities.sorted { $0.rawValue < $1.rawValue },
                isCurrent: index == detectors.lastIndex { $0.info.id == detector.info.id },
                isolation: detector.isIsolated ? "process" : "none",
                needsLabels: detector.info.needsLabels, vectorUnit: detector.info.vectorUnit,
                parameters: detector.info.parameters.map {
                    Parameter(
                        name: $0.name, type: "\($0.kind)", default: "\($0.defaultValue)", meaning: $0.meaning)
                })
        }
        refused = registry.refusals.map { Refused(path: $0.path, reason: $0.reason) }
    }
}
