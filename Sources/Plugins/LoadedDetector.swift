import DetectorAPI

/// What a detector's models can do besides scoring.
public enum DetectorCapability: String, Sendable, Hashable, Codable, CaseIterable {
    /// `Explaining`: says which features drove a score.
    case explains
    /// `Updating`: learns from further rows.
    case updates

    static func all(of model: any DetectorModel) -> Set<DetectorCapability> {
        var capabilities: Set<DetectorCapability> = []
        if model is any Explaining { capabilities.insert(.explains) }
        if model is any Updating { capabilities.insert(.updates) }
        return capabilities
    }
}

/// A detector that is loaded, and the file it came from.
public struct LoadedDetector: Sendable {
    public let detector: any Detector
    public let info: DetectorInfo
    /// nil: linked into this process.
    public let path: String?
    /// Of the library's file, hexadecimal; empty for a detector that is linked into this process.
    public let sha256: String
    /// Of the models that it fits.
    public let capabilities: Set<DetectorCapability>
    /// It runs in a process of its own.
    public let isIsolated: Bool
}

/// A library that was not loaded, and why.
public struct PluginRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    public let path: String
    public let reason: String

    public init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }

    public var description: String { "\(path) is refused: \(reason)" }
}
