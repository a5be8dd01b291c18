// swift-tools-version:6.2
import PackageDescription

// The contract. Outside of this repository: the path of a checkout's Sources/DetectorAPI, of the same version as
// the service that is to load the plugin.
let detectorAPI = Package.Dependency.package(path: "../../Sources/DetectorAPI")

let package = Package(
    name: "RobustZScore",
    platforms: [.macOS(.v15)],
    products: [
        // A dynamic library is what the service loads: libRobustZScorePlugin.so.
        .library(name: "RobustZScorePlugin", type: .dynamic, targets: ["RobustZScoreEntry"])
    ],
    dependencies: [detectorAPI],
    targets: [
        // The detector. Tests link it like any other module.
        .target(
            name: "RobustZScore", dependencies: [.product(name: "DetectorAPI", package: "DetectorAPI")]),
        // The entry function and the stamp, apart from the detector: two of them do not link into one test.
        .target(
            name: "RobustZScoreEntry",
            dependencies: [
                "RobustZScore", .product(name: "DetectorAPI", package: "DetectorAPI"),
                .product(name: "DetectorPluginStamp", package: "DetectorAPI"),
            ]),
        .testTarget(
            name: "RobustZScoreTests",
            dependencies: ["RobustZScore", .product(name: "DetectorAPI", package: "DetectorAPI")]),
    ]
)
