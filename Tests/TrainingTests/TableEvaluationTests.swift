import Foundation
import Lake
import Plugins
import Testing

@testable import Training

@Suite struct TableEvaluationTests {
    private let workshop: Workshop
    init() throws { workshop = try Workshop() }

    /// Ten usual rows around 10 and two far away, a day apart each.
    private func table() throws -> String {
        var csv = "amount,day,name,y\n"
        for row in 0..<12 {
            let isAnomaly = row == 3 || row == 11
            csv += "\(isAnomaly ? 100 + row : 10 + row % 3),\(row),x,\(isAnomaly ? 1 : 0)\n"
        }
        let path = workshop.folder.path + "/table.csv"
        try Data(csv.utf8).write(to: URL(filePath: path))
        return path
    }

    private func detector(_ id: String) throws -> LoadedDetector {
        try #require(workshop.registry.detector(id: id))
    }

    @Test func aDetectorThatFindsBothIsPerfect() throws {
        let result = try TableEvaluation(
            try detector("amount"), path: try table(), label: "y", seeds: 3, parameters: [:])
        #expect(result.rows == 12)
        #expect(result.anomalies == 2)
        #expect(result.columns == 2)
        #expect(result.skippedColumns == ["name"])
        #expect(result.seeds == 3)
        #expect(result.auroc.mean == 1)
        #expect(result.auroc.standardDeviation == 0)
        #expect(result.averagePrecision.mean == 1)
        #expect(result.precisionAtN.mean == 1)
        #expect(result.fitMilliseconds.mean > 0)
        let read = try JSONDecoder().decode(TableEvaluation.self, from: try JSONEncoder().encode(result))
        #expect(read == result)
        #expect(result.split == nil)
        #expect(result.fittedRows == 12)
    }

    @Test func aTimeColumnSplitsTheRows() throws {
        let result = try TableEvaluation(
            try detector("amount"), path: try table(), label: "y", seeds: 1, parameters: [:],
            split: .init(column: "day", holdoutShare: 0.25))
        #expect(result.rows == 3)
        #expect(result.fittedRows == 9)
        #expect(result.split?.column == "day")
        #expect(result.anomalies == 1)
        #expect(result.columns == 1)
        #expect(result.auroc.mean == 1)
    }

    /// Rows in the order of their names, not of their times: only the last two of the year are judged.
    @Test func rowsAreSortedByTheirTimes() throws {
        var csv = "when,amount,y\n"
        for month in [12, 3, 11, 1, 2, 4, 5, 6, 7, 8] {
            let text = month < 10 ? "0\(month)" : "\(month)"
            csv += "2026-\(text)-01T00:00:00Z,\(month == 12 ? 100 : 10),\(month == 12)\n"
        }
        let path = workshop.folder.path + "/months.csv"
        try Data(csv.utf8).write(to: URL(filePath: path))
        var judged: [Int] = []
        var scores: [Double] = []
        let result = try TableEvaluation(
            try detector("amount"), path: path, label: "y", seeds: 1, parameters: [:],
            split: .init(column: "when")
        ) { _, rows, given in
            judged = rows
            scores = given
        }
        #expect(judged == [2, 0])
        #expect(scores.count == 2 && scores[1] < scores[0])
        #expect(result.skippedColumns == [])
        #expect(result.auroc.mean == 1)
    }

    @Test func labelsAreLearnedOnlyFromThePast() throws {
        #expect(throws: TrainingError.self) {
            try TableEvaluation(
                try detector("amount"), path: try table(), label: "y", seeds: 1, parameters: [:],
                learnsLabels: true)
        }
        let result = try TableEvaluation(
            try detector("amount"), path: try table(), label: "y", seeds: 1, parameters: [:],
            split: .init(column: "day", holdoutShare: 0.25), learnsLabels: true)
        #expect(result.fittedRows == 9)
    }

    @Test func whatCannotBeJudgedIsSaid() throws {
        let path = try table()
        let amount = try detector("amount")
        #expect(throws: LakeError.self) {
            try TableEvaluation(amount, path: path, label: "label", seeds: 1, parameters: [:])
        }
        #expect(throws: TrainingError.self) {
            try TableEvaluation(amount, path: path, label: "day", seeds: 1, parameters: ["x": "1"])
        }
        // No times, and the label for a time.
        #expect(throws: LakeError.self) {
            try TableEvaluation(
                amount, path: path, label: "y", seeds: 1, parameters: [:], split: .init(column: "name"))
        }
        #expect(throws: TrainingError.self) {
            try TableEvaluation(
                amount, path: path, label: "y", seeds: 1, parameters: [:], split: .init(column: "y"))
        }
        // The last rows hold no anomaly of both kinds.
        #expect(throws: TrainingError.self) {
            try TableEvaluation(
                amount, path: path, label: "y", seeds: 1, parameters: [:],
                split: .init(column: "day", holdoutShare: 0.05))
        }
    }

    @Test func forestsTakeTheirParameters() throws {
        let result = try TableEvaluation(
            try detector("isolation-forest"), path: try table(), label: "y", seeds: 2,
            parameters: ["n_estimators": "10"])
        #expect(result.parameters["n_estimators"] == "10")
        #expect(result.auroc.mean > 0.7)
    }

    @Test func rowsCountAsTheirWeightSays() throws {
        let result = try TableEvaluation(
            try detector("isolation-forest"), path: try table(), label: "y", seeds: 2, parameters: [:],
            weight: "day")
        #expect(result.columns == 1)
        #expect(result.rows == 12)
        func field(_ detector: LoadedDetector, _ weight: String) throws -> String? {
            do {
                _ = try TableEvaluation(
                    detector, path: try table(), label: "y", seeds: 1, parameters: [:], weight: weight)
                return nil
            } catch TrainingError.invalidRequest(let field, let reason) {
                return "\(field): \(reason)"
            }
        }
        #expect(try field(try detector("isolation-forest"), "name")?.hasPrefix("weight: ") == true)
        #expect(try field(try detector("amount"), "day") == "weight: detector amount makes no use of weights")
    }
}
