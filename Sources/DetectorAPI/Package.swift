// swift-tools-version:6.2
// The contract between the host and its detectors, and `Exact`: no dependencies. It is a package of its own with a
// dynamic product so that the host and every plugin share one copy of its metadata; with a copy in each
// image, calls would work while casts and typed errors silently failed.
import PackageDescription

let package = Package(
    name: "DetectorAPI",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "DetectorAPI", type: .dynamic, targets: ["DetectorAPI"]),
        // How values are read and written, for all of the repository. Linked into each image: it has functions over
        // the standard library's types, so several copies do no harm.
        .library(name: "Exact", type: .static, targets: ["Exact", "CExact"]),
        // Puts the stamp into the plugin that links it; the host does not.
        .library(name: "DetectorPluginStamp", targets: ["DetectorPluginStamp"]),
        // The plain C contract: a header, and the layout of the stamp.
        .library(name: "CDetectorPlugin", targets: ["CDetectorPlugin"]),
    ],
    targets: [
        .target(name: "CDetectorPlugin"),
        .target(name: "DetectorPluginStamp", dependencies: ["CDetectorPlugin"]),
        .target(name: "DetectorAPI"),
        .target(name: "CExact"),
        .target(name: "Exact", dependencies: ["CExact"]),
    ]
)
