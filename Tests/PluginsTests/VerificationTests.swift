import DetectorAPI
import Foundation
import Testing

@testable import Plugins

/// The conformance suite: good detectors pass it, and each broken promise is found by its check.
@Suite struct VerificationTests {
    private static let settings: VerificationSettings = {
        var settings = VerificationSettings()
        settings.mutations = 1_000
        settings.scorings = 2_000
        settings.largestBatch = 5_000
        // Against one that hangs; a busy machine may take a minute.
        settings.limits.timeMilliseconds = 300_000
        return settings
    }()

    private func verify(_ path: String, _ settings: VerificationSettings = settings) -> DetectorVerification {
        verifyInChild(
            path: path, executable: PluginProbeTests.child, arguments: ["verify"], settings: settings)
    }

    @Test(arguments: [Built.baseline, Built.forest, Built.ensemble])
    func theBuiltInDetectorsPass(path: String) {
        let verification = verify(path)
        #expect(verification.hasPassed, "\(verification.table())")
    }

    @Test func theExampleInCPasses() throws {
        let folder = try Folder()
        let verification = verify(
            try CompiledFixture.compile(source: CompiledFixture.halfSpaceTrees, into: folder))
        #expect(verification.hasPassed, "\(verification.table())")
        #expect(verification.id == "half-space-trees")
        #expect(verification.sha256.count == 64)
    }

    @Test(arguments: [
        (
            "CRASH_IN_FIT", "fit: two rows",
            "was ended by SIGSEGV while fitting 2 rows of 1 columns, [1.0, 2.0]"
        ),
        ("CRASH_ON_WIDE", "fit: 2,000 columns", "was ended by SIGSEGV while fitting 50 rows of 2000 columns"),
        ("FEARS_NAN", "fit: missing values", "a value is missing"),
        ("FORGETS_SEED", "same seed, same bytes", "1 rows of 1 columns, ["),
        ("MEETS_NEIGHBOURS", "a row's score is its own", "in a batch of 2: row 1"),
        ("SHARES_SCRATCH", "scoring from 8 threads at once", "8 threads"),
        ("UPSIDE_DOWN", "lower is more anomalous", "[12.0, 12.0, 12.0, 12.0], 12 deviations away"),
        ("TRUSTS_ARTIFACT", "damaged artifacts", " while artifact "),
        ("EXIT_IN_DECODE", "encode and decode", "ended the process with status 0"),
        ("LEAKS", "no growth of memory", "2000 batches of 16 rows leave "),
        ("SCORE_FEWER", "encode and decode", "is nan"),
    ])
    func findsTheBrokenPromise(fault: String, check: String, detail: String) throws {
        let folder = try Folder()
        let verification = verify(try CompiledFixture.compile(fault, into: folder))
        #expect(!verification.hasPassed)
        let line = try #require(verification.checks.first { $0.name == check })
        #expect(line.outcome == .failed)
        #expect(line.detail.contains(detail), "\(verification.table())")
        // A crash costs the check in which it happens, not those after it.
        #expect(verification.checks.allSatisfy { $0.outcome != .notReached })
    }

    @Test func aHangIsCutShort() throws {
        let folder = try Folder()
        var settings = Self.settings
        settings.limits.timeMilliseconds = 3_000
        let verification = verify(try CompiledFixture.compile("HANG_IN_FIT", into: folder), settings)
        let failed = verification.checks.filter { $0.outcome == .failed }
        #expect(failed.count == 3)
        #expect(failed.allSatisfy { $0.detail.hasPrefix("was still at it after 3000 ms") })
        #expect(verification.checks.last?.detail == "after three hangs no more was tried")
    }

    @Test func whatCannotBeLoadedIsSaid() throws {
        let folder = try Folder()
        let verification = verify(try folder.write("libx.so", [1, 2, 3]))
        #expect(verification.checks.first?.detail == "it is not an ELF file")
        #expect(verification.checks.dropFirst().allSatisfy { $0.outcome == .notReached })
        #expect(verification.table().contains(" is refused: "))
        #expect(!verification.table().contains("\n"))
        let crash = verify(try CompiledFixture.compile("CRASH_AT_LOAD", into: folder))
        #expect(crash.checks.first?.detail == "was ended by SIGSEGV")
        #expect(!crash.hasPassed)
    }

    @Test func theResultIsJSONAndATable() throws {
        let folder = try Folder()
        let path = try CompiledFixture.compile(into: folder)
        let verification = verify(path)
        #expect(verification.hasPassed, "\(verification.table())")
        let json = try JSONEncoder().encode(verification)
        #expect(try JSONDecoder().decode(DetectorVerification.self, from: json) == verification)
        let table = verification.table()
        #expect(table.hasPrefix("fixture 1.0.0  \(path)\n"))
        #expect(table.hasSuffix("\npassed"))
        let speed = try #require(verification.checks.first { $0.name == "speed" })
        #expect(speed.measurements.keys.sorted().first == "batch-1-microseconds-per-row")
    }

    @Test func aFailingTableIsMadeSmall() {
        let table = SampleTable.normal(100, columns: 10)
        let smallest = table.shrunk { $0.count >= 7 && $0.columns >= 3 }
        #expect(smallest.count == 7)
        #expect(smallest.columns == 3)
        #expect(smallest[0] == Array(table[0].prefix(3)))
    }
}
