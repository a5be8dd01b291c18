import DetectorAPI
import Foundation
import Logging
import Testing

@testable import Plugins

/// A bad library is refused by name and reason; a good one shares the contract with its host.
@Suite struct DetectorRegistryTests {
    private let folder = FileManager.default.temporaryDirectory.appending(
        path: "ml-plugins-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

    private func registry() -> DetectorRegistry {
        DetectorRegistry(
            folders: [folder.path], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// The plugins that this package builds lie beside its tests.
    private func built(_ name: String) throws -> Data {
        var candidates =
            Bundle.allBundles.map(\.bundleURL) + [
                Bundle.main.bundleURL, URL(filePath: CommandLine.arguments[0]),
            ]
        candidates.append(
            URL(filePath: #filePath).appending(path: "../../../.build/debug/x").standardizedFileURL)
        for candidate in candidates {
            for start in [candidate, candidate.deletingLastPathComponent()] {
                if let data = FileManager.default.contents(atPath: start.appending(path: name).path) {
                    return data
                }
            }
        }
        throw CocoaError(.fileNoSuchFile)
    }

    private func put(_ data: Data, as name: String) throws {
        try data.write(to: folder.appending(path: name))
    }

    private func reason(_ registry: DetectorRegistry) -> String { registry.refusals.first?.reason ?? "" }

    @Test func aGoodPluginLoadsAndSharesTheContract() throws {
        try put(try built("libIsolationForestPlugin.so"), as: "libforest.so")
        let registry = registry()
        #expect(registry.rescan().isEmpty)
        let loaded = try #require(registry.detector(id: "isolation-forest"))
        let parameters = try loaded.info.checked(["n_estimators": .integer(10)])
        let rows = (0..<200).map { Float($0 % 17) }
        let context = FitContext(
            seed: 1, parameters: parameters, columns: [FeatureColumn(name: "a"), FeatureColumn(name: "b")])
        let model = try rows.withUnsafeBufferPointer {
            try loaded.detector.fit(FeatureRows($0, columns: 2), labels: nil, context: context)
        }
        // A cast and a typed error across the boundary: with two copies of the metadata both would fail in silence.
        #expect(model is any Explaining)
        #expect(throws: DetectorError.self) { try loaded.detector.decode(ArtifactBytes(copying: [1, 2, 3])) }
        let again = try loaded.detector.decode(ArtifactBytes(copying: model.encode()))
        #expect(again.encode() == model.encode())
    }

    @Test func aLibraryIsLoadedOnceAndOtherBytesUnderItsNameAreAnotherVersion() throws {
        let first = try built("libIsolationForestPlugin.so")
        try put(first, as: "libdetector.so")
        let registry = registry()
        registry.rescan()
        registry.rescan()
        #expect(registry.detectors.count == 1)
        try put(try built("libZScoreBaselinePlugin.so"), as: "libdetector.so")
        registry.rescan()
        #expect(registry.detectors.map(\.info.id) == ["isolation-forest", "zscore-baseline"])
    }

    @Test func whatIsNoPluginIsRefusedWithItsReason() throws {
        let plugin = try built("libZScoreBaselinePlugin.so")
        var wrongVersion = plugin
        let stamp = try #require(plugin.range(of: Data("MLSVCDET".utf8)))
        wrongVersion[stamp.upperBound + 4] = 99
        var wrongCompiler = plugin
        wrongCompiler[stamp.upperBound + 8] = UInt8(ascii: "9")
        var wrongMagic = plugin
        wrongMagic[stamp.lowerBound] = UInt8(ascii: "X")
        var bigEndian = plugin
        bigEndian[5] = 2
        for (data, words) in [
            (Data(), "not an ELF"), (Data("#!/bin/sh".utf8), "not an ELF"),
            (try Data(contentsOf: URL(filePath: "/bin/true")), "no section"),
            (plugin.prefix(5_000), "outside the file"),
            (wrongVersion, "Swift API version is 99"), (wrongCompiler, "the compiler is 9"),
            (wrongMagic, "the magic is XLSVCDET"), (bigEndian, "big-endian"),
        ] {
            try put(data, as: "libx.so")
            let registry = registry()
            let refusals = registry.rescan()
            #expect(refusals.count == 1)
            #expect(refusals.first?.path.hasSuffix("/libx.so") == true)
            #expect(reason(registry).contains(words), "\(reason(registry))")
            #expect(registry.detectors.isEmpty)
        }
    }

    /// `cp` over a loaded library truncates and rewrites the very file; its code must not be the one that runs.
    @Test func aLibraryThatIsOverwrittenKeepsRunning() throws {
        try put(try built("libIsolationForestPlugin.so"), as: "libdetector.so")
        let registry = registry()
        registry.rescan()
        let loaded = try #require(registry.detector(id: "isolation-forest"))
        try Data(repeating: 0, count: 100).write(to: folder.appending(path: "libdetector.so"))
        #expect(throws: DetectorError.self) { try loaded.detector.decode(ArtifactBytes(copying: [1, 2, 3])) }
        #expect(loaded.detector.info.id == "isolation-forest")
        #expect(registry.rescan().count == 1)
        #expect(registry.detector(id: "isolation-forest") != nil)
    }

    @Test func aFileThatIsMendedIsLoaded() throws {
        let registry = registry()
        try put(Data(), as: "libx.so")
        #expect(registry.rescan().count == 1)
        try put(try built("libZScoreBaselinePlugin.so"), as: "libx.so")
        #expect(registry.rescan().isEmpty)
        #expect(registry.detectors.count == 1)
    }

    /// Read before it is loaded, the file may be anything: no bytes of it may lead outside of it.
    @Test func hostileFilesAreErrorsAndNeverTraps() throws {
        let plugin = [UInt8](try built("libZScoreBaselinePlugin.so"))
        var generator = SeededGenerator(seed: 5)
        // The header and the table of sections are where offsets are.
        let table = plugin.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 40, as: UInt64.self)) }
        for _ in 0..<3_000 {
            var bytes = plugin
            for _ in 0...generator.below(6) {
                let place =
                    generator.below(2) == 0
                    ? generator.below(64) : table + generator.below(plugin.count - table)
                bytes[place] = UInt8(truncatingIfNeeded: generator.next())
            }
            if generator.below(4) == 0 { bytes.removeLast(generator.below(bytes.count)) }
            bytes.withUnsafeBytes { file in
                for name in [".mlservice.stamp", ".text", "", ".shstrtab"] {
                    _ = try? ELFSection.read(name, of: file)
                }
            }
        }
    }
}
