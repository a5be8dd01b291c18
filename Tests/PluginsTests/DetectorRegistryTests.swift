import DetectorAPI
import Foundation
import Testing

@testable import Plugins

@Suite struct DetectorRegistryTests {
    @Test func loadsWhatTheBuildMadeAndSkipsItsOtherLibraries() throws {
        let registry = DetectorRegistry(ownFolder: Built.folder, logger: quiet)
        #expect(registry.rescan() == [])
        #expect(FileManager.default.fileExists(atPath: "\(Built.folder)/libDetectorAPI.so"))
        #expect(
            Set(registry.detectors.map(\.info.id)) == [
                "boosted-trees", "ensemble", "isolation-forest", "tail-surprise", "zscore-baseline",
            ])
        let baseline = try #require(registry.detector(id: "zscore-baseline"))
        #expect(baseline.path == Built.baseline)
        #expect(baseline.sha256.count == 64)
        #expect(baseline.capabilities == [.explains, .updates])
    }

    @Test func aModelCanBeCastAndItsErrorsCaught() throws {
        let folder = try Folder()
        try folder.write("libx.so", try Built.bytes(Built.baseline))
        let registry = registry(folder)
        #expect(registry.rescan() == [])
        let detector = try #require(registry.detector(id: "zscore-baseline")).detector
        let model = try detector.fit(randomRows(100, columns: 3), columns: 3)
        let explaining = try #require(model as? any Explaining)
        #expect(explaining.expectedScore == -0.5)
        #expect(model is any Updating)
        let error = #expect(throws: DetectorError.self) {
            try detector.decode(ArtifactBytes(copying: [1, 2, 3]))
        }
        guard case .invalidArtifact = try #require(error) else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func refusesWhatIsNoPlugin() throws {
        let folder = try Folder()
        let whole = try Built.bytes(Built.baseline)
        try folder.write("libempty.so", [])
        try folder.write("libtrue.so", try Built.bytes("/bin/true"))
        try folder.write("libapi.so", try Built.bytes("\(Built.folder)/libDetectorAPI.so"))
        try folder.write("libcut.so", whole.prefix(whole.count / 2))
        try folder.write("other.so", [])
        try folder.write("libnot.txt", [])
        mkfifo("\(folder.path)/libpipe.so", 0o600)
        let reasons = Dictionary(
            uniqueKeysWithValues: registry(folder).rescan().map {
                (URL(filePath: $0.path).lastPathComponent, $0.reason)
            })
        #expect(reasons.count == 5)
        #expect(reasons["libempty.so"] == "it is not an ELF file")
        // Debian's programs are position-independent: to ELF they are shared libraries.
        #expect(reasons["libtrue.so"]?.contains("no section .mlservice.stamp") == true)
        #expect(reasons["libapi.so"]?.contains("no section .mlservice.stamp") == true)
        #expect(reasons["libcut.so"] == "it is damaged: the table of sections lies outside the file")
        #expect(reasons["libpipe.so"] == "it is not a regular file")
    }

    @Test func namesEveryFieldThatDiffers() throws {
        let folder = try Folder()
        var library = try Library(Built.baseline)
        let stamp = try library.stamp
        library.bytes[stamp] = UInt8(ascii: "X")
        library.set(stamp + 8, UInt32(7))
        library.set(stamp + 12, UInt32(9))
        library.bytes.replaceSubrange(stamp + 16..<stamp + 22, with: Array("2.0.0\u{7}".utf8))
        let path = try folder.write("libx.so", library.bytes)
        let refusal = try #require(registry(folder).rescan().first)
        #expect(refusal.path == path)
        #expect(refusal.reason.contains("the magic is \"XLSVCDET\", this host's is \"MLSVCDET\""))
        #expect(refusal.reason.contains("the C ABI version is 7, this host's is 1"))
        #expect(refusal.reason.contains("the Swift API version is 9, this host's is 3"))
        #expect(refusal.reason.contains("the compiler is \"2.0.0?"))
    }

    @Test func theSamePathWithOtherBytesIsAFurtherVersion() throws {
        let folder = try Folder()
        let bytes = try Built.bytes(Built.baseline)
        let path = try folder.write("libx.so", bytes)
        let registry = registry(folder)
        registry.rescan()
        let old = try #require(registry.detector(id: "zscore-baseline"))
        let rows = randomRows(50, columns: 2)
        let oldModel = try old.detector.fit(rows, columns: 2)
        let oldScores = try oldModel.scores(rows)

        // Overwritten in place, as `cp` does.
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Data(bytes + [0]))
        try handle.close()
        #expect(registry.rescan() == [])
        let new = try #require(registry.detector(id: "zscore-baseline"))
        #expect(new.sha256 != old.sha256)
        #expect(registry.detectors.count == 2)
        // A model asks for the library that fitted it, and makes do with the newest if that is gone.
        #expect(registry.detector(id: "zscore-baseline", sha256: old.sha256)?.sha256 == old.sha256)
        #expect(registry.detector(id: "zscore-baseline", sha256: "gone")?.sha256 == new.sha256)

        // Two copies of the same module in one process: each has its own types, both share the contract's.
        let newModel = try new.detector.fit(rows, columns: 2)
        #expect(type(of: oldModel) != type(of: newModel))
        #expect(newModel is any Explaining)
        #expect(try oldModel.scores(rows) == oldScores)
        #expect(try newModel.scores(rows) == oldScores)
        #expect(throws: DetectorError.self) { try new.detector.decode(ArtifactBytes(copying: [])) }

        // Back to the first: it is the newest again, and not loaded twice.
        try folder.write("libx.so", bytes)
        registry.rescan()
        #expect(registry.detector(id: "zscore-baseline")?.sha256 == old.sha256)
        #expect(registry.detectors.count == 2)
    }

    @Test func aRefusedFileIsLoadedOnceItIsMended() throws {
        let folder = try Folder()
        let bytes = try Built.bytes(Built.baseline)
        try folder.write("libx.so", bytes.prefix(1_000))
        let registry = registry(folder)
        #expect(registry.rescan().count == 1)
        #expect(registry.rescan().count == 1)
        try folder.write("libx.so", bytes)
        #expect(registry.rescan() == [])
        #expect(registry.refusals == [])
        #expect(registry.detector(id: "zscore-baseline") != nil)
    }

    @Test func aFolderThatIsNotThereIsSaid() throws {
        let registry = DetectorRegistry(folders: ["/nonexistent/plugins"], logger: quiet)
        let refusal = try #require(registry.rescan().first)
        #expect(refusal.path == "/nonexistent/plugins")
        #expect(refusal.reason.hasPrefix("the folder cannot be read"))
    }

    @Test func onlyWhatIsAllowedIsLoaded() throws {
        let folder = try Folder()
        try folder.write("libx.so", try Built.bytes(Built.baseline))
        try folder.write("liby.so", try Built.bytes(Built.forest))
        let hash = try PluginFile(path: folder.path + "/libx.so").sha256
        let allowed = try #require(PluginAllowance(parsing: "\(hash.uppercased())  libx.so\n"))
        let registry = DetectorRegistry(folders: [folder.path], allowed: allowed, logger: quiet)
        let refusals = registry.rescan()
        #expect(registry.detectors.map(\.info.id) == ["zscore-baseline"])
        #expect(refusals.count == 1 && refusals[0].reason.contains("plugins.allowed"))
        // Other bytes under a name that was allowed.
        try folder.write("libx.so", try Built.bytes(Built.forest))
        #expect(registry.rescan().count == 2)
        #expect(registry.detectors.map(\.info.id) == ["zscore-baseline"])
        for text in [
            "abc", String(repeating: "x", count: 64), hash + " " + String(repeating: "z", count: 64),
        ] {
            #expect(PluginAllowance(parsing: text) == nil, "\(text)")
        }
        #expect(PluginAllowance(parsing: " \n") != nil)
    }

    @Test func whatOthersMayWriteIsRefused() throws {
        let folder = try Folder()
        let path = folder.path + "/libx.so"
        try folder.write("libx.so", try Built.bytes(Built.baseline))
        func reasons() -> [String] {
            DetectorRegistry(folders: [folder.path], logger: quiet).rescan().map(\.reason)
        }
        #expect(reasons() == [])
        #expect(chmod(path, 0o646) == 0)
        #expect(reasons().count == 1 && reasons()[0].contains("chmod o-w"))
        #expect(chmod(path, 0o644) == 0 && chmod(folder.path, 0o777) == 0)
        #expect(reasons().count == 1 && reasons()[0].contains("chmod o-w"))
        #expect(chmod(folder.path, 0o755) == 0)
        #expect(reasons() == [])
    }

    @Test(.enabled(if: geteuid() == 0)) func whatBelongsToAnotherUserIsRefused() throws {
        let folder = try Folder()
        try folder.write("libx.so", try Built.bytes(Built.baseline))
        #expect(chown(folder.path + "/libx.so", 65_534, 65_534) == 0)
        let refusals = DetectorRegistry(folders: [folder.path], logger: quiet).rescan()
        #expect(refusals.count == 1 && refusals[0].reason.contains("65534"))
    }

    @Test func scansFromManyThreadsLoadOnce() throws {
        let folder = try Folder()
        try folder.write("libx.so", try Built.bytes(Built.baseline))
        try folder.write("liby.so", try Built.bytes(Built.forest))
        let registry = registry(folder)
        DispatchQueue.concurrentPerform(iterations: 8) { _ in registry.rescan() }
        #expect(registry.detectors.count == 2)
    }

    @Test func leavesNoCopiesBehind() throws {
        let folder = try Folder()
        let bytes = try Built.bytes(Built.baseline) + [UInt8](UUID().uuidString.utf8)
        try folder.write("libx.so", bytes)
        let registry = registry(folder)
        registry.rescan()
        let digest = try #require(registry.detectors.first).sha256.prefix(16)
        let temporary = FileManager.default.temporaryDirectory.path
        let left = try FileManager.default.contentsOfDirectory(atPath: temporary)
            .filter { $0.hasPrefix("ml-service-plugin-") }
            .filter { FileManager.default.fileExists(atPath: "\(temporary)/\($0)/lib\(digest).so") }
        #expect(left == [])
    }
}
