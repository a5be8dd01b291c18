// swift-tools-version:6.2
// The contract between the host and its detectors: no dependencies. It is a package of its own with a
// dynamic product so that the host and every plugin share one copy of its metadata; with a copy in each
// image, calls would work while casts and typed errors silently failed.
import PackageDescription

let package = Package(
    name: "DetectorAPI",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "DetectorAPI", type: .dynamic, targets: ["DetectorAPI"]),
        // Puts the stamp into the plugin that links it; the host does not.
        .library(name: "DetectorPluginStamp", targets: ["DetectorPluginStamp"]),
        // The plain C contract: a header, and the layout of the stamp.
        .library(name: "CDetectorPlugin", targets: ["CDetectorPlugin"]),
    ],
    targets: [
        .target(name: "CDetectorPlugin"),
        .target(name: "DetectorPluginStamp", dependencies: ["CDetectorPlugin"]),
        .target(name: "DetectorAPI"),
    ]
)
