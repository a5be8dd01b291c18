/// Carries a detector through the plugin's C entry point.
///
/// A plugin's `Entry` target exports one function:
///
///     @_cdecl("detector_plugin_main")
///     public func detectorPluginMain() -> UnsafeMutableRawPointer {
///         DetectorEntry(IsolationForest()).retained()
///     }
public final class DetectorEntry: Sendable {
    public let detector: any Detector

    public init(_ detector: any Detector) { self.detector = detector }

    /// A pointer that owns this object until `take(_:)`.
    public func retained() -> UnsafeMutableRawPointer { Unmanaged.passRetained(self).toOpaque() }

    /// The host's side: takes back what `retained()` gave.
    public static func take(_ pointer: UnsafeMutableRawPointer) -> DetectorEntry {
        Unmanaged<DetectorEntry>.fromOpaque(pointer).takeRetainedValue()
    }
}

/// The name of the Swift entry function, `() -> UnsafeMutableRawPointer`.
public let detectorPluginEntrySymbol = "detector_plugin_main"
