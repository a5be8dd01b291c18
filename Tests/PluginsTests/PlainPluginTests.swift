import DetectorAPI
import Foundation
import Synchronization
import Testing

@testable import Plugins

/// Detectors in plain C, seen through the same protocols as Swift ones.
@Suite struct PlainPluginTests {
    private static let rows: [Float] = [1, 10, 2, 20, 3, 30, 2, 20]

    private func fit(
        _ detector: any Detector, _ parameters: [String: ParameterValue] = [:],
        columns: [FeatureColumn] = [FeatureColumn(name: "a"), FeatureColumn(name: "b")],
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) throws -> any DetectorModel {
        try Self.rows.withUnsafeBufferPointer {
            try detector.fit(
                FeatureRows($0, columns: 2), labels: nil,
                context: FitContext(
                    seed: 1, parameters: try detector.info.checked(parameters), columns: columns,
                    isCancelled: isCancelled, progress: progress))
        }
    }

    @Test func isLoadedLikeAnyOther() throws {
        let folder = try Folder()
        try CompiledFixture.compile(into: folder)
        let registry = registry(folder)
        #expect(registry.rescan() == [])
        let loaded = try #require(registry.detector(id: "fixture"))
        #expect(loaded.capabilities == [.explains, .updates])
        #expect(loaded.info.parameters.map(\.name) == ["shift", "count", "flag", "colour"])
        #expect(
            loaded.info.parameters.map(\.kind) == [
                .real(-1...1), .integer(1...9), .boolean, .choice(["red", "green"]),
            ])
        #expect(
            loaded.info.parameters.map(\.defaultValue) == [
                .real(0), .integer(3), .boolean(true), .text("green"),
            ])
    }

    @Test func fitsScoresAndExplains() throws {
        let model = try fit(try CompiledFixture.detector())
        #expect(model.columns == 2)
        #expect(try model.scores([2, 0, 5, 0, .nan, 0, -.infinity, 0]) == [0, -3, 0, -1e300])
        let explaining = try #require(model as? any Explaining)
        #expect(explaining.expectedScore == 0)
        var scores = [Double](repeating: 9, count: 2)
        var contributions = [Double](repeating: 9, count: 4)
        try [Float(5), 1, 2, 1].withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try explaining.explain(FeatureRows(values, columns: 2), into: scores, contributions: $0)
                }
            }
        }
        #expect(scores == [-3, 0])
        #expect(contributions == [-3, 0, 0, 0])
    }

    @Test func parametersColumnsAndProgressReachIt() throws {
        let detector = try CompiledFixture.detector()
        let told = Mutex<[Double]>([])
        let model = try fit(
            detector, ["shift": .real(0.5)], progress: { part in told.withLock { $0.append(part) } })
        #expect(try model.scores([2, 0]) == [-0.5])
        #expect(told.withLock { $0 } == [1])
        #expect(throws: DetectorError.cancelled) { try fit(detector, isCancelled: { true }) }
        #expect(throws: DetectorError.invalidParameter(name: "flag", reason: "must be on")) {
            try fit(detector, ["flag": .boolean(false)])
        }
        let columns = [
            FeatureColumn(name: "amount é"), FeatureColumn(name: "b", kind: .categorical(cardinality: 77)),
        ]
        let fault = #expect(throws: PlainFault.self) { try fit(detector, columns: columns) }
        #expect(fault?.description == "fixture: fit failed with status 5: amount é")
    }

    @Test func itsArtifactComesBackAsItWas() throws {
        let detector = try CompiledFixture.detector()
        let model = try fit(detector)
        let again = try detector.decode(ArtifactBytes(copying: model.encode()))
        #expect(again.encode() == model.encode())
        #expect(try again.scores(Self.rows) == model.scores(Self.rows))
        #expect(throws: DetectorError.invalidArtifact("not 24 bytes")) {
            try detector.decode(ArtifactBytes(copying: []))
        }
    }

    @Test func learnsRowByRow() throws {
        let model = try fit(try CompiledFixture.detector())
        let learner = try #require(model as? any Updating).makeLearner()
        try [Float(4), 0].withUnsafeBufferPointer { try learner.learn($0) }
        let learned = learner.model()
        try [Float(9), 0].withUnsafeBufferPointer { try learner.learn($0) }
        #expect(try learned.scores([3, 0]) == [0])
        #expect(try model.scores([2, 0]) == [0])
        #expect(throws: DetectorError.invalidInput("far too low")) {
            try [Float(-1e9), 0].withUnsafeBufferPointer { try learner.learn($0) }
        }
        #expect(throws: DetectorError.self) {
            try [Float(1)].withUnsafeBufferPointer { try learner.learn($0) }
        }
    }

    @Test(arguments: [
        ("NO_TABLE", "its detector_plugin_c_main gave no table"),
        ("OLD_TABLE", "its table is of C ABI version 77, this host's is 1"),
        ("SHORT_TABLE", "its table has 16 bytes"),
        ("NO_SCORE", "a function of its table that is not optional is NULL"),
        ("HALF_LEARNER", "of the learner's four functions, some are NULL: give all or none"),
        ("BAD_ID", "its id 'Not An Id' is not"), ("BAD_TEXT", "its summary is not UTF-8"),
        ("BAD_DEFAULT", "the default of its parameter shift is not a number from -1.0 to 1.0"),
        ("NO_MODEL", "fixture gave no model and no error"),
        ("WRONG_COLUMNS", "fixture's model has 4 columns, not 3"),
        ("SCORE_NAN", "fixture: a score of row 32 is nan"),
        ("SCORE_FEWER", "fixture: a score of row 63 is nan"),
        ("NO_ARTIFACT", "fixture's artifact has 0 bytes"),
        ("STRANGE_STATUS", "fixture: fit failed with status 99: something"),
    ])
    func refusesWhatBreaksTheContract(fault: String, reason: String) throws {
        let folder = try Folder()
        try CompiledFixture.compile(fault, into: folder)
        let refusals = registry(folder).rescan()
        #expect(refusals.count == 1)
        #expect(refusals.first?.reason.contains(reason) == true, "\(refusals)")
    }

    @Test func twoVersionsServeSideBySide() throws {
        let folder = try Folder()
        try CompiledFixture.compile(into: folder)
        let registry = registry(folder)
        registry.rescan()
        let old = try #require(registry.detector(id: "fixture"))
        let model = try fit(old.detector)
        try CompiledFixture.compile("UPSIDE_DOWN", version: "2.0.0", into: folder)
        #expect(registry.rescan() == [])
        let new = try #require(registry.detector(id: "fixture"))
        #expect(new.info.version == "2.0.0")
        #expect(old.path == new.path)
        #expect(try fit(new.detector).scores([5, 0]) == [3])
        #expect(try model.scores([5, 0]) == [-3])
    }

    @Test func halfSpaceTreesFindWhatIsFarAndForgetWhatIsOld() throws {
        let folder = try Folder()
        try CompiledFixture.compile(source: CompiledFixture.halfSpaceTrees, into: folder)
        let registry = registry(folder)
        #expect(registry.rescan() == [])
        let loaded = try #require(registry.detector(id: "half-space-trees"))
        #expect(loaded.capabilities == [.updates])
        let model = try loaded.detector.fit(randomRows(1_000, columns: 3), columns: 3)
        let far: [Float] = [9, 9, 9]
        let scores = try model.scores(far + [0.5, 0.5, 0.5])
        #expect(scores[0] < 0.1 * scores[1])
        // A window of rows from elsewhere, and elsewhere is usual.
        let learner = try #require(model as? any Updating).makeLearner()
        for row in 0..<250 {
            let shift = randomRows(1, columns: 3, seed: UInt64(row)).map { $0 + 1 }
            try shift.withUnsafeBufferPointer { try learner.learn($0) }
        }
        let learned = try learner.model().scores([1.5, 1.5, 1.5, -0.5, 0.2, 0.2])
        #expect(learned[0] > 5 * learned[1])
    }
}
