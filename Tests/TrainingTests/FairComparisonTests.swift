import DetectorAPI
import Testing

@testable import Models
@testable import Training

/// A global model that looks at references is judged with them, whoever's model is trained.
@Suite struct FairComparisonTests {
    @Test(arguments: [true, false]) func theGlobalModelSeesItsReferences(isOfAll: Bool) throws {
        let workshop = try Workshop()
        let seen = Log<Int>()
        workshop.registry.register(MissingDetector(seen: seen))
        try workshop.generate(users: 12, days: 40)
        _ = try workshop.run(
            Workshop.request(days: 40, detector: "missing", promote: true), jobID: "global")
        #expect(try #require(try workshop.router.globalModel()).plan.usesReferences)
        let before = seen.all
        let full = try #require(before.min())
        #expect(full < ReferencePast.width)
        _ = try workshop.run(
            Workshop.request(
                user: isOfAll ? nil : "user-000001", allUsers: isOfAll, days: 40, detector: "amount"),
            jobID: "users")
        let after = seen.all.dropFirst(before.count)
        #expect(after.min() == full, "values missing: \(full) and \(after.min() ?? -1)")
    }
}

/// Scores all rows alike, and notes how many values of each are missing.
private struct MissingDetector: Detector {
    let seen: Log<Int>
    let info = DetectorInfo(
        id: "missing", version: "1.0.0", summary: "Counts what is missing.", parameters: [],
        uses: [.references])

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        MissingModel(columns: rows.columns, seen: seen)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        MissingModel(columns: artifact.bytes.loadUnaligned(as: Int.self), seen: seen)
    }
}

private final class MissingModel: DetectorModel {
    let columns: Int
    private let seen: Log<Int>

    init(columns: Int, seen: Log<Int>) {
        self.columns = columns
        self.seen = seen
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count {
            seen.append(rows[row].count { $0.isNaN })
            scores[row] = 0
        }
    }

    func encode() -> [UInt8] { withUnsafeBytes(of: columns) { Array($0) } }
}
