// swift-tools-version:6.2
// The arrows between the modules point down this file: a target may name only what stands above it.
import PackageDescription

let strict: [SwiftSetting] = [.enableUpcomingFeature("ExistentialAny")]
/// Of what computes: optimised in debug builds too, as the tests spend their time there.
let computing: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// Where `scripts/setup` unpacks native libraries that Debian lacks. pkg-config finds their headers;
/// an rpath cannot come from a .pc file (SwiftPM drops it), so it is given here.
let nativeLibraries: [LinkerSetting] = ["arrow", "rdkafka", "lightgbm"].map {
    .unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", "\(Context.packageDirectory)/.deps/\($0)/lib"])
}

let detectorAPI = Target.Dependency.product(name: "DetectorAPI", package: "DetectorAPI")
/// And `CExact`, its C, for the C++ of the readers.
let exact = Target.Dependency.product(name: "Exact", package: "DetectorAPI")
let pluginStamp = Target.Dependency.product(name: "DetectorPluginStamp", package: "DetectorAPI")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let stampLayout = Target.Dependency.product(name: "CDetectorPlugin", package: "DetectorAPI")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")

let package = Package(
    name: "ml-service",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "ml-service", targets: ["Host"]),
        .library(name: "IsolationForestPlugin", type: .dynamic, targets: ["IsolationForestEntry"]),
        .library(name: "ZScoreBaselinePlugin", type: .dynamic, targets: ["ZScoreBaselineEntry"]),
        .library(name: "EnsemblePlugin", type: .dynamic, targets: ["EnsembleEntry"]),
        .library(name: "TailSurprisePlugin", type: .dynamic, targets: ["TailSurpriseEntry"]),
        .library(name: "BoostedTreesPlugin", type: .dynamic, targets: ["BoostedTreesEntry"]),
    ],
    dependencies: [
        .package(path: "Sources/DetectorAPI"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.30.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Detectors: the contract and nothing else of ours, but for the ensemble of the other two.
        .target(
            name: "CForestKernels", path: "Sources/Detectors/CForestKernels",
            cSettings: [.unsafeFlags(["-O2"], .when(configuration: .debug))]),
        .target(
            name: "IsolationForest", dependencies: [detectorAPI, exact, "CForestKernels"],
            path: "Sources/Detectors/IsolationForest", exclude: ["Entry"], swiftSettings: computing),
        .target(
            name: "IsolationForestEntry", dependencies: ["IsolationForest", detectorAPI, pluginStamp],
            path: "Sources/Detectors/IsolationForest/Entry", swiftSettings: strict),
        .target(
            name: "ZScoreBaseline", dependencies: [detectorAPI, exact],
            path: "Sources/Detectors/ZScoreBaseline", exclude: ["Entry"], swiftSettings: computing),
        .target(
            name: "ZScoreBaselineEntry", dependencies: ["ZScoreBaseline", detectorAPI, pluginStamp],
            path: "Sources/Detectors/ZScoreBaseline/Entry", swiftSettings: strict),
        .target(
            name: "Ensemble", dependencies: ["IsolationForest", "ZScoreBaseline", detectorAPI, exact],
            path: "Sources/Detectors/Ensemble", exclude: ["Entry"], swiftSettings: computing),
        .target(
            name: "EnsembleEntry", dependencies: ["Ensemble", detectorAPI, pluginStamp],
            path: "Sources/Detectors/Ensemble/Entry", swiftSettings: strict),
        .target(
            name: "TailSurprise", dependencies: [detectorAPI, exact],
            path: "Sources/Detectors/TailSurprise", exclude: ["Entry"], swiftSettings: computing),
        .target(
            name: "TailSurpriseEntry", dependencies: ["TailSurprise", detectorAPI, pluginStamp],
            path: "Sources/Detectors/TailSurprise/Entry", swiftSettings: strict),
        // Declarations of LightGBM, which is loaded when a model is fitted and linked by nothing.
        .target(name: "CLightGBM", path: "Sources/Detectors/BoostedTrees/CLightGBM"),
        .target(
            name: "BoostedTrees", dependencies: [detectorAPI, exact, "CForestKernels", "CLightGBM"],
            path: "Sources/Detectors/BoostedTrees", exclude: ["CLightGBM", "Entry"], swiftSettings: computing),
        .target(
            name: "BoostedTreesEntry", dependencies: ["BoostedTrees", detectorAPI, pluginStamp],
            path: "Sources/Detectors/BoostedTrees/Entry", swiftSettings: strict,
            linkerSettings: nativeLibraries),

        // C libraries, each imported by one module.
        .systemLibrary(
            name: "CRdKafka", path: "Sources/Systems/Kafka/CRdKafka", pkgConfig: "rdkafka",
            providers: [.apt(["librdkafka-dev"])]),
        // Without pkgConfig: hiredis.pc carries a flag that SwiftPM warns about. The module map links it.
        .systemLibrary(
            name: "CHiredis", path: "Sources/Systems/Redis/CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/Systems/Redis/COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CArrow", path: "Sources/Systems/Lake/CArrow", pkgConfig: "parquet"),
        .target(
            name: "CCurl", path: "Sources/Systems/Transfers/CCurl", linkerSettings: [.linkedLibrary("curl")]
        ),
        .systemLibrary(
            name: "CExpat", path: "Sources/Systems/ObjectStore/CExpat", providers: [.apt(["libexpat1-dev"])]),
        .target(
            name: "CAvro", path: "Sources/Systems/SchemaRegistry/CAvro",
            linkerSettings: [.linkedLibrary("avro")]
        ),
        .target(name: "CProcess", path: "Sources/Plugins/CProcess"),
        .target(
            name: "CSimdJSON", dependencies: [exact], path: "Sources/Transactions/CSimdJSON",
            linkerSettings: [.linkedLibrary("simdjson")]),
        .target(
            name: "CParquet", dependencies: ["CArrow", exact], path: "Sources/Systems/Lake/CParquet"),

        // What every error can say of itself.
        .target(name: "Retrying", swiftSettings: strict),
        // Which bytes are this service's own.
        .target(name: "Signing", dependencies: [crypto, exact], swiftSettings: strict),

        // Outside systems.
        .target(
            name: "Kafka", dependencies: ["CRdKafka", "Retrying", logging], path: "Sources/Systems/Kafka",
            exclude: ["CRdKafka"], swiftSettings: strict),
        .target(
            name: "Redis", dependencies: ["CHiredis", "COpenSSL", "Retrying", crypto, exact],
            path: "Sources/Systems/Redis", exclude: ["CHiredis", "COpenSSL"], swiftSettings: strict),
        .target(
            name: "Transfers", dependencies: ["CCurl"], path: "Sources/Systems/Transfers",
            exclude: ["CCurl"], swiftSettings: strict),
        .target(
            name: "ObjectStore", dependencies: ["CExpat", "Retrying", "Transfers", crypto, exact],
            path: "Sources/Systems/ObjectStore", exclude: ["CExpat"], swiftSettings: strict),
        .target(
            name: "Lake", dependencies: ["CParquet", "ObjectStore", "Retrying", exact],
            path: "Sources/Systems/Lake", exclude: ["CArrow", "CParquet"], swiftSettings: strict),

        .target(
            name: "SchemaRegistry", dependencies: ["CAvro", "Retrying", "Transfers", logging, metrics],
            path: "Sources/Systems/SchemaRegistry", exclude: ["CAvro"], swiftSettings: strict),

        // The domain.
        .target(
            name: "Transactions", dependencies: ["CSimdJSON", exact], path: "Sources/Transactions",
            exclude: ["CSimdJSON"], swiftSettings: computing),
        .target(name: "Features", dependencies: ["Transactions", exact], swiftSettings: computing),
        .target(
            name: "Plugins", dependencies: ["CProcess", detectorAPI, exact, stampLayout, crypto, logging],
            path: "Sources/Plugins", exclude: ["CProcess"],
            swiftSettings: computing),
        .target(
            name: "Models",
            dependencies: [
                detectorAPI, exact, "Plugins", "Features", "Transactions", "ObjectStore", "Redis", "Retrying",
                "Signing", crypto, grdb, logging, metrics,
            ],
            swiftSettings: computing),
        .target(
            name: "Interchange",
            dependencies: ["Models", "Plugins", "Features", detectorAPI, exact, protobuf],
            exclude: ["ONNX/onnx.proto"], swiftSettings: strict),

        // The exactly-once protocol: pure, so that a simulator can drive it.
        .target(name: "BatchProtocol", path: "Sources/Serving/BatchProtocol", swiftSettings: computing),

        // Labels, and what they say of merchants, devices, countries and categories.
        .target(
            name: "Outcomes",
            dependencies: [
                "Features", "Transactions", "Lake", "ObjectStore", "Retrying", "Signing", exact, crypto,
                logging,
                metrics,
            ],
            swiftSettings: computing),

        // What analysts have decided about alerts.
        .target(
            name: "Rules",
            dependencies: [
                "Transactions", "ObjectStore", "Retrying", "Signing", exact, crypto, logging, metrics,
            ],
            swiftSettings: strict),

        // The two paths, which meet only in Models, Features and Outcomes.
        .target(
            name: "Training",
            dependencies: [
                detectorAPI, exact, "Plugins", "Models", "Features", "Outcomes", "Transactions", "Lake",
                "ObjectStore", "Redis", "Retrying",
                crypto, grdb, logging, metrics, lifecycle,
            ],
            swiftSettings: computing),
        .target(
            name: "Serving",
            dependencies: [
                detectorAPI, exact, "BatchProtocol", "Models", "Features", "Outcomes", "Rules",
                "Transactions",
                "Kafka",
                "Redis", "ObjectStore", "Retrying", "SchemaRegistry", crypto, grdb,
                logging, metrics,
            ], path: "Sources/Serving", exclude: ["BatchProtocol"],
            swiftSettings: strict),

        // What people touch.
        .target(
            name: "Management",
            dependencies: [
                "Training", "Models", "Outcomes", "Rules", "Plugins", "Serving", "Features", "Transactions",
                "Lake", "ObjectStore", "Redis", "Transfers",
                detectorAPI, exact, crypto, logging, metrics, nioCore, nioHTTPTypes, nioPosix, lifecycle,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            resources: [
                .embedInCode("Console/Assets/console.html"), .embedInCode("Console/Assets/console.css"),
                .embedInCode("Console/Assets/console.js"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "Host",
            dependencies: [
                "Management", "Serving", "Training", "Interchange", "Models", "Outcomes", "Rules", "Plugins",
                "Features",
                "Transactions", "Kafka", "KafkaProxy", "Redis", "ObjectStore", "Lake", "SchemaRegistry",
                "Signing",
                detectorAPI,
                "CForestKernels", exact,
                logging,
                metrics, lifecycle, nioPosix,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            swiftSettings: strict, linkerSettings: nativeLibraries),

        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "Serving", "Training", "Models", "Plugins", "Features", "Transactions", "Kafka", "Redis",
                "ObjectStore", "Lake", "IsolationForest", "BoostedTrees", "ZScoreBaseline", detectorAPI,
                logging,
            ], path: "benchmarks", exclude: ["peers", "allocations"],
            swiftSettings: strict, linkerSettings: nativeLibraries),

        // Tests.
        .target(name: "KafkaProxy", path: "Tests/Support/KafkaProxy", swiftSettings: strict),
        .target(
            name: "RecordedLog", dependencies: [logging], path: "Tests/Support/RecordedLog",
            swiftSettings: strict),
        .target(
            name: "TestTables", dependencies: [detectorAPI], path: "Tests/Support/TestTables",
            swiftSettings: strict),
        .target(name: "Randomness", path: "Tests/Support/Randomness", swiftSettings: strict),
        .target(
            name: "Torture", dependencies: [detectorAPI], path: "Tests/Support/Torture", swiftSettings: strict
        ),
        .testTarget(
            name: "KafkaTests", dependencies: ["Kafka", "KafkaProxy", "RecordedLog", logging],
            swiftSettings: strict,
            linkerSettings: nativeLibraries),
        .testTarget(
            name: "LakeTests", dependencies: ["Lake", "ObjectStore", "Torture", detectorAPI],
            exclude: ["Fixtures"],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(name: "ExactTests", dependencies: [exact], swiftSettings: strict),
        .testTarget(
            name: "SchemaRegistryTests", dependencies: ["SchemaRegistry", "Torture", detectorAPI, logging],
            swiftSettings: strict),
        .testTarget(name: "RedisTests", dependencies: ["Redis"], swiftSettings: strict),
        .testTarget(
            name: "ObjectStoreTests", dependencies: ["ObjectStore", "Torture", detectorAPI],
            swiftSettings: strict),
        .testTarget(
            name: "TransactionsTests",
            dependencies: ["Transactions", "Randomness", "Torture", detectorAPI, exact],
            swiftSettings: strict),
        .testTarget(
            name: "IsolationForestTests",
            dependencies: ["IsolationForest", "CForestKernels", "TestTables", detectorAPI],
            swiftSettings: strict),
        .testTarget(
            name: "ZScoreBaselineTests", dependencies: ["ZScoreBaseline", "TestTables", detectorAPI],
            swiftSettings: strict),
        .testTarget(
            name: "TailSurpriseTests", dependencies: ["TailSurprise", "TestTables", detectorAPI],
            swiftSettings: strict),
        .testTarget(
            name: "EnsembleTests",
            dependencies: ["Ensemble", "IsolationForest", "ZScoreBaseline", "TestTables", detectorAPI],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "BoostedTreesTests",
            dependencies: ["BoostedTrees", "CLightGBM", "CForestKernels", detectorAPI], exclude: ["Fixtures"],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "InterchangeTests",
            dependencies: ["Interchange", "IsolationForest", "Features", detectorAPI], exclude: ["Fixtures"],
            swiftSettings: strict),
        .testTarget(
            name: "ServingTests",
            dependencies: [
                "Serving", "Rules", "Features", "Transactions", "Kafka", "Models", "ObjectStore", "Plugins",
                "Retrying", "SchemaRegistry", "Training", "Lake", "Torture", detectorAPI,
                grdb, logging, metrics,
            ],
            exclude: ["Fixtures"], swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "SimulationTests",
            dependencies: ["BatchProtocol", "Serving", "Kafka", "Features", "Transactions"],
            swiftSettings: computing),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Serving", "Training", "Lake", "Kafka", "KafkaProxy", "RecordedLog", "Redis", "ObjectStore",
                "Outcomes", "Interchange", "IsolationForest", "Models", "Features", "Transactions",
                detectorAPI, logging,
            ],
            exclude: ["Python"],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "ModelsTests",
            dependencies: [
                "Models", "Plugins", "Features", "ObjectStore", "Redis", "Signing", "Torture", detectorAPI,
                exact,
                crypto,
                grdb, logging,
            ],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "TrainingTests",
            dependencies: [
                "Training", "Models", "Outcomes", "Plugins", "Features", "Transactions", "Lake",
                "ObjectStore",
                "IsolationForest", "TailSurprise", "ZScoreBaseline", "Torture", detectorAPI, exact, crypto,
                grdb,
                logging,
            ],
            exclude: ["Fixtures"], swiftSettings: strict, linkerSettings: nativeLibraries),
        .executableTarget(
            name: "PluginChild", dependencies: ["Plugins"], path: "Tests/Support/PluginChild",
            swiftSettings: strict),
        .testTarget(
            name: "OutcomesTests",
            dependencies: [
                "Outcomes", "Features", "Transactions", "Lake", "ObjectStore", "Signing", "Torture",
                detectorAPI, logging,
            ],
            exclude: ["Fixtures"],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "RulesTests",
            dependencies: [
                "Rules", "Transactions", "ObjectStore", "Signing", "Torture", detectorAPI, logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PluginsTests",
            dependencies: ["Plugins", "PluginChild", detectorAPI, stampLayout, logging],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "HostTests",
            dependencies: [
                "Host", "Serving", "Training", "Rules", "Models", "Plugins", "Features",
                "Transactions", "Kafka", "ObjectStore", "RecordedLog", detectorAPI, exact, logging,
            ],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "ManagementTests",
            dependencies: [
                "Management", "Training", "Outcomes", "Rules", "Models", "Plugins", "Features", "ObjectStore",
                "Lake", "Serving", "Torture", "Transactions",
                detectorAPI, crypto, logging, metrics, nioCore, nioPosix, lifecycle,
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            swiftSettings: strict, linkerSettings: nativeLibraries),
        .testTarget(
            name: "FeaturesTests", dependencies: ["Features", "Transactions", "Randomness", exact],
            exclude: ["Fixtures"],
            swiftSettings: strict),
    ],
    cxxLanguageStandard: .cxx20
)
