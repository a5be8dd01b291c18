import BoostedTrees
import DetectorAPI

/// Called once by the host, right after the library is loaded.
@_cdecl("detector_plugin_main")
public func detectorPluginMain() -> UnsafeMutableRawPointer {
    DetectorEntry(BoostedTrees()).retained()
}
