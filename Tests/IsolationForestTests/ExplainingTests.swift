import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct ExplainingTests {
    @Test(arguments: [(256, 5), (3, 2), (1000, 40)])
    func contributionsSumToTheDifferenceFromTheExpectedScore(rows: Int, columns: Int) throws {
        let table = Table.bells(rows: rows, columns: columns).missing(every: 19)
        let model = try table.fit()
        let (scores, contributions) = try table.explained(model)
        #expect(try scores == table.scores(model))
        guard let model = model as? any Explaining else { return }
        for (score, row) in zip(scores, contributions) {
            #expect(abs(row.reduce(0, +) - (score - model.expectedScore)) < 1e-9)
        }
    }

    @Test func theFeatureThatIsOffIsNamed() throws {
        let table = Table.bells(rows: 2000, columns: 6)
        let model = try table.fit()
        for column in 0..<6 {
            var row = [Float](repeating: 0.1, count: 6)
            row[column] = 8
            let contributions = try Table(values: row, columns: 6).explained(model).contributions[0]
            #expect(contributions.indices.min { contributions[$0] < contributions[$1] } == column)
            #expect(contributions[column] < -0.03)
        }
    }

    @Test func aRowsContributionsDoNotDependOnTheBatch() throws {
        let table = Table.bells(rows: 600, columns: 3)
        let model = try table.fit()
        let together = try table.explained(model).contributions
        for row in [0, 255, 256, 599] {
            let alone = Table(values: Array(table.values[3 * row..<3 * row + 3]), columns: 3)
            #expect(try alone.explained(model).contributions[0] == together[row])
        }
    }

    @Test func placesThatAreTooFewAreRefused() throws {
        let table = Table.bells(rows: 10, columns: 3)
        let model = try table.fit() as? any Explaining
        var scores = [Double](repeating: 0, count: 10)
        var contributions = [Double](repeating: 0, count: 29)
        #expect(throws: DetectorError.self) {
            try table.withRows { rows in
                try scores.withUnsafeMutableBufferPointer { scores in
                    try contributions.withUnsafeMutableBufferPointer {
                        try model?.explain(rows, into: scores, contributions: $0)
                    }
                }
            }
        }
    }
}
