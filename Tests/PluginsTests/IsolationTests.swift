import DetectorAPI
import Foundation
import Glibc
import Synchronization
import Testing

@testable import Plugins

/// Detectors in processes of their own are the same detectors, and their crashes are nobody else's.
@Suite struct IsolationTests {
    /// The path's plugin, run elsewhere.
    private func isolated(_ path: String, timeLimitMilliseconds: Int = 20_000) throws -> any Detector {
        let isolation = PluginIsolation(
            executable: PluginProbeTests.child, arguments: ["isolated"],
            timeLimitMilliseconds: timeLimitMilliseconds)
        return try IsolatedDetector(
            isolation, library: PrivateCopy(of: PluginFile(path: path), isForAnotherUser: geteuid() == 0))
    }

    private func fixture(_ fault: String = "NONE", timeLimitMilliseconds: Int = 20_000) throws -> any Detector
    {
        let folder = try Folder()
        return try isolated(
            CompiledFixture.compile(fault, into: folder), timeLimitMilliseconds: timeLimitMilliseconds)
    }

    private let far: [Float] = [2e6]

    /// Where the service is root, an isolated plugin is nobody.
    @Test(.enabled(if: geteuid() == 0)) func aTemporaryFolderThatIsClosedToThePluginIsNamed() throws {
        let folder = try Folder()
        let closed = folder.path + "/closed"
        try FileManager.default.createDirectory(
            atPath: closed, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        let isolation = PluginIsolation(executable: PluginProbeTests.child, arguments: ["isolated"])
        let copy = try PrivateCopy(
            of: PluginFile(path: Built.baseline), isForAnotherUser: true, in: closed)
        do {
            _ = try IsolatedDetector(isolation, library: copy)
            Issue.record("it was loaded")
        } catch {
            #expect("\(error)".contains("this process may not enter \(closed)"), "\(error)")
        }
    }

    @Test(arguments: [Built.forest, Built.baseline])
    func givesTheSameBits(path: String) throws {
        let here = try PluginLibrary.open(path, name: path, stamp: try PluginFile(path: path).checkedStamp())
        let there = try isolated(path)
        #expect(there.info == here.info)
        let rows = randomRows(3_000, columns: 7)
        let model = try there.fit(rows, columns: 7)
        let expected = try here.fit(rows, columns: 7)
        #expect(model.encode() == expected.encode())
        #expect(model.columns == 7)
        #expect(try model.scores(rows) == expected.scores(rows))
        let decoded = try there.decode(ArtifactBytes(copying: expected.encode()))
        #expect(try decoded.scores(rows) == expected.scores(rows))

        let (explained, explanation) = (
            try #require(model as? any Explaining), try #require(expected as? any Explaining)
        )
        #expect(explained.expectedScore == explanation.expectedScore)
        #expect(try contributions(explained, rows) == contributions(explanation, rows))
        // More models than a process keeps.
        let many = try (0..<DetectorProcess.maximumModels + 3).map { _ in
            try there.decode(ArtifactBytes(copying: expected.encode()))
        }
        let few = Array(rows.prefix(70))
        for model in many { #expect(try model.scores(few) == expected.scores(few)) }
    }

    private func contributions(_ model: any Explaining, _ rows: [Float]) throws -> [Double] {
        var scores = [Double](repeating: .nan, count: rows.count / model.columns)
        var contributions = [Double](repeating: .nan, count: rows.count)
        try rows.withUnsafeBufferPointer { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try model.explain(
                        FeatureRows(rows, columns: model.columns), into: scores, contributions: $0)
                }
            }
        }
        return scores + contributions
    }

    @Test func parametersLabelsAndErrorsPass() throws {
        let detector = try fixture()
        #expect(detector.info.parameters.map(\.name) == ["shift", "count", "flag", "colour"])
        let error = #expect(throws: DetectorError.self) {
            try detector.decode(ArtifactBytes(copying: [1, 2, 3]))
        }
        guard case .invalidArtifact = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        // The process that said no is as good as before.
        #expect(try detector.fit(randomRows(50, columns: 2), columns: 2).columns == 2)
    }

    @Test func aCrashIsThisCallsAloneAndTheProcessStartsAgain() throws {
        let model = try fixture("CRASH_FAR_AWAY").fit(randomRows(50, columns: 1), columns: 1)
        let usual = try model.scores([0.5])
        let crash = #expect(throws: DetectorAway.self) { try model.scores(far) }
        #expect(crash?.hasJustEnded == true)
        #expect(crash?.description.hasPrefix("its process was ended by SIGSEGV") == true)
        // Not at once: a process that crashes at every row would be started for every row.
        let pause = #expect(throws: DetectorAway.self) { try model.scores([0.5]) }
        #expect(pause?.hasJustEnded == false)
        #expect(try eventually { try model.scores([0.5]) } == usual)
    }

    @Test func aModelThatKeepsCrashingIsTheModelsFault() throws {
        let model = try fixture("CRASH_FAR_AWAY").fit(randomRows(50, columns: 1), columns: 1)
        var crashes = 0
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            do {
                _ = try model.scores(far)
            } catch let away as DetectorAway {
                if away.hasJustEnded { crashes += 1 }
                usleep(20_000)
            } catch is DetectorError {
                break
            }
        }
        #expect(crashes == IsolatedDetector.maximumCrashes)
    }

    @Test func aHangIsCutShort() throws {
        let model = try fixture("HANG_FAR_AWAY", timeLimitMilliseconds: 700)
            .fit(randomRows(50, columns: 1), columns: 1)
        let away = #expect(throws: DetectorAway.self) { try model.scores(far) }
        #expect(away?.description.hasPrefix("its process was still at it after 700 ms") == true)
        #expect(try eventually { try model.scores([0.5]) }.count == 1)
    }

    @Test func aFitThatHangsCanBeCancelled() throws {
        let detector = try fixture("HANG_IN_FIT")
        let asked = Mutex(0)
        let context = FitContext(
            seed: 1, parameters: try detector.info.checked([:]), columns: [FeatureColumn(name: "a")],
            isCancelled: {
                asked.withLock {
                    $0 += 1
                    return $0 > 3
                }
            })
        let rows: [Float] = [1, 2, 3]
        #expect(throws: DetectorError.cancelled) {
            try rows.withUnsafeBufferPointer {
                _ = try detector.fit(FeatureRows($0, columns: 1), labels: nil, context: context)
            }
        }
    }

    /// What a plugin in this process could do, one in a process of its own cannot.
    @Test(
        arguments: [
            "OPENS_SOCKET", "READS_FILE", "WRITES_FILE", "STARTS_PROGRAM", "SIGNALS_PARENT",
            "SEES_ENVIRONMENT",
        ])
    func aTrespassFails(trespass: String) throws {
        let error = #expect(throws: (any Error).self) {
            try CompiledFixture.detector(trespass).fit(randomRows(50, columns: 1), columns: 1)
        }
        #expect(error.map { "\($0)" }?.contains("it could") == true)
        let detector = try #require(try fixture(trespass) as? IsolatedDetector)
        let isKept =
            ["READS_FILE", "WRITES_FILE"].contains(trespass)
            ? detector.confinement.filesFailure == nil
            : trespass == "SEES_ENVIRONMENT" || detector.confinement.callsFailure == nil
        // A kernel without the means is named in the log, and this is what then happens.
        if isKept {
            #expect(try detector.fit(randomRows(50, columns: 1), columns: 1).columns == 1)
        } else {
            #expect(throws: (any Error).self) {
                try detector.fit(randomRows(50, columns: 1), columns: 1)
            }
        }
    }

    /// Where the service is root, a plugin in its process is, too; in a process of its own it is nobody.
    @Test(.enabled(if: geteuid() == 0)) func rootIsNobodyInAProcessOfItsOwn() throws {
        #expect(throws: (any Error).self) {
            try CompiledFixture.detector("IS_ROOT").fit(randomRows(50, columns: 1), columns: 1)
        }
        let detector = try #require(try fixture("IS_ROOT") as? IsolatedDetector)
        #expect(detector.confinement.userFailure == nil)
        #expect(try detector.fit(randomRows(50, columns: 1), columns: 1).columns == 1)
    }

    @Test func whatComputingTakesIsLeft() throws {
        let model = try fixture("STARTS_THREAD").fit(randomRows(50, columns: 1), columns: 1)
        #expect(try model.scores([0.5]).count == 1)
    }

    @Test func whatCouldNotBeConfinedIsSaid() {
        #expect(Confinement(files: 0, calls: 0).complaints.isEmpty)
        let words = Confinement(files: UInt64(ENOSYS), calls: UInt64(EINVAL))
        #expect(words.complaints.count == 2 && words.complaints[0].contains("Landlock"))
        #expect(words.words == (UInt64(ENOSYS), UInt64(EINVAL)))
        let user = Confinement(files: 0, calls: UInt64(EPERM) << 32)
        #expect(user.callsFailure == nil && user.userFailure == EPERM && user.complaints.count == 1)
        #expect(user.words == (0, UInt64(EPERM) << 32))
    }

    @Test func whatFittingDependsOnCrossesWhole() throws {
        let info = DetectorInfo(
            id: "a", version: "1.0.0", summary: "", parameters: [], uses: [.categories, .weights])
        let json = try JSONEncoder().encode(IsolatedDescription(info))
        #expect(try JSONDecoder().decode(IsolatedDescription.self, from: json).info() == info)
        let told = FitContext(
            seed: .max, parameters: try info.checked([:]),
            columns: [
                FeatureColumn(name: "n"), FeatureColumn(name: "c", kind: .categorical(cardinality: 7)),
            ],
            weights: [0, 0.1, .greatestFiniteMagnitude])
        let context = try JSONDecoder().decode(
            IsolatedContext.self, from: try JSONEncoder().encode(IsolatedContext(told))
        ).context(for: info) { _ in }
        #expect(context.seed == .max && context.columns == told.columns && context.weights == told.weights)
    }

    @Test func aPluginThatCannotBeStartedIsRefused() throws {
        let folder = try Folder()
        let path = try CompiledFixture.compile("CRASH_AT_LOAD", into: folder)
        let isolation = PluginIsolation(executable: PluginProbeTests.child, arguments: ["isolated"])
        let registry = DetectorRegistry(folders: [folder.path], isolation: isolation, logger: quiet)
        #expect(registry.rescan().map(\.path) == [path])
        #expect(registry.refusals.first?.reason.contains("SIGSEGV") == true)
    }

    @Test func theRegistryIsolatesThePluginsOfItsFolders() throws {
        let folder = try Folder()
        try CompiledFixture.compile(into: folder)
        let isolation = PluginIsolation(executable: PluginProbeTests.child, arguments: ["isolated"])
        let registry = DetectorRegistry(
            ownFolder: Built.folder, folders: [folder.path], isolation: isolation, logger: quiet)
        #expect(registry.rescan() == [])
        let isolated = registry.detectors.filter(\.isIsolated).map(\.info.id)
        #expect(isolated == ["fixture"])
        #expect(registry.detectors.count == 6)
    }

    /// Backoff makes a while of it.
    private func eventually<R>(_ body: () throws -> R) throws -> R {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            do {
                return try body()
            } catch let away as DetectorAway {
                guard ContinuousClock.now < deadline else { throw away }
                usleep(20_000)
            }
        }
    }
}
