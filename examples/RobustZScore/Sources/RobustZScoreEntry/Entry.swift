import DetectorAPI
import RobustZScore

/// Called once by the service, right after the library is loaded.
@_cdecl("detector_plugin_main")
public func detectorPluginMain() -> UnsafeMutableRawPointer {
    DetectorEntry(RobustZScore()).retained()
}
