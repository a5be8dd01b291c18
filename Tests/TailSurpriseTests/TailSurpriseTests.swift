import DetectorAPI
import Foundation
import TestTables
import Testing

@testable import TailSurprise

@Suite struct TailSurpriseTests {
    static let options: [[String: ParameterValue]] = [
        [:], ["weigh": .boolean(false)], ["low_limit": .real(0)], ["low_limit": .real(60)],
    ]

    @Test(arguments: options) func unusualRowsScoreLower(options: [String: ParameterValue]) throws {
        var table = Table.unlikeBells(rows: 2000, columns: 5)
        for column in 0..<5 { table.values[700 * 5 + column] = 500 }
        let scores = try table.scores(table.fit(options))
        #expect(scores.indices.min { scores[$0] < scores[$1] } == 700)
        #expect(scores.allSatisfy { $0 <= 0 && $0 > -1 })
    }

    @Test func usualRowsScoreNearAHalf() throws {
        for columns in [1, 2, 5, 40] {
            let table = Table.unlikeBells(rows: 2000, columns: columns)
            let mean = try table.scores(table.fit()).reduce(0, +) / 2000
            #expect(abs(mean + 0.45) < 0.1, "\(columns): \(mean)")
        }
    }

    /// Ten in a thousand rows lie far out: they do not make themselves usual.
    @Test func manyExtremesStayExtremeAndTheirColumnCountsMore() throws {
        var table = Table.unlikeBells(rows: 20_000, columns: 2)
        for row in 0..<100 { table.values[row * 200 * 2] = 60 + Float(row) / 10 }
        let model = try table.fit()
        // As far out as the frauds in the column that has none, and in the one that has.
        let scores = try Table(values: [65, 10, 0, 16], columns: 2).scores(model)
        #expect(scores[0] < -0.9)
        #expect(scores[1] > -0.75, "three deviations in the column of the others: \(scores[1])")
        let unweighed = try Table(values: [65, 10], columns: 2).scores(table.fit(["weigh": .boolean(false)]))
        #expect(scores[0] < unweighed[0])
    }

    @Test func lowValuesSurpriseUpToALimit() throws {
        let table = Table.unlikeBells(rows: 2000, columns: 1)
        let rows = Table(values: [-10, -100, 10, 100], columns: 1)
        let scores = try rows.scores(table.fit())
        #expect(scores[0] == scores[1])
        #expect(scores[2] > scores[3])
        #expect(scores[3] < scores[1])
        let none = try rows.scores(table.fit(["low_limit": .real(0)]))
        #expect(none[0] > -0.5)
    }

    @Test(arguments: options) func contributionsSumAndNameTheFeature(options: [String: ParameterValue]) throws
    {
        var table = Table.unlikeBells(rows: 500, columns: 6).missing(every: 13)
        table.values[100 * 6 + 4] = 400
        let model = try table.fit(options)
        let (scores, contributions) = try table.explained(model)
        #expect(try scores == table.scores(model))
        let expected = (model as? any Explaining)?.expectedScore ?? 0
        for row in 0..<500 {
            let own = contributions[row]
            #expect(abs(own.reduce(0, +) - (scores[row] - expected)) < 1e-9)
            for column in 0..<6 where table.values[row * 6 + column].isNaN { #expect(own[column] == 0) }
        }
        let odd = contributions[100]
        #expect(odd.indices.min { odd[$0] < odd[$1] } == 4)
    }

    /// 3 o'clock is as far from the mean of sines and cosines as others: only the pair tells.
    @Test func anHourIsJudgedByBothItsColumns() throws {
        let columns = ["amount", "hour_sin", "hour_cos"].map { FeatureColumn(name: $0) }
        let hours: [(Float, Float)] = [(0, 1), (0, -1), (1, 0), (-1, 0)]
        var values: [Float] = []
        for row in 0..<1_000 {
            let hour = hours[row == 7 ? 2 : row % 2]
            values += [Float(row % 10), hour.0, hour.1]
        }
        let model = try Table(values: values, columns: 3).fit(columns: columns)
        let rows = Table(values: [5, 0, 1, 5, 1, 0, 5, -1, 0, 5, .nan, 0], columns: 3)
        let (scores, contributions) = try rows.explained(model)
        #expect(scores[1] < scores[0])
        #expect(scores[2] < scores[0], "an hour of which nobody has heard")
        #expect(scores[3] > scores[1])
        #expect(contributions[1][1] == contributions[1][2] && contributions[1][1] < 0)
    }

    @Test func aCategoryThatNobodyKnowsSaysNothing() throws {
        let columns = [FeatureColumn(name: "category", kind: .categorical(cardinality: 4))]
        let values = (0..<1_000).map { Float($0 < 10 ? 1 : $0 == 10 ? 3 : 0) }
        let model = try Table(values: values, columns: 1).fit(columns: columns)
        let scores = try Table(values: [0, 1, 2, 3, 99, -1, .nan, .infinity], columns: 1).scores(model)
        #expect(scores[1] < scores[0])
        #expect(scores[2...].allSatisfy { $0 == -0.5 }, "\(scores)")
    }

    @Test(arguments: options) func decodingGivesTheSameScoresAndBytes(options: [String: ParameterValue])
        throws
    {
        let table = Table.unlikeBells(rows: 300, columns: 30).missing(every: 9)
        let model = try table.fit(options)
        let bytes = model.encode()
        let decoded = try TailSurprise().decode(ArtifactBytes(copying: bytes))
        #expect(try table.scores(decoded) == table.scores(model))
        #expect(decoded.encode() == bytes)
        #expect(try table.fit(options).encode() == bytes)
        #expect(bytes.count < 30 * 256)
    }

    /// One column, written by hand: what artifacts of either format say is fixed.
    @Test(arguments: [UInt32(1), 2]) func eachFormatKeepsItsLaw(format: UInt32) throws {
        func bytes(_ numbers: [UInt32]) -> [UInt8] {
            numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        }
        func side(_ values: [Float]) -> [UInt8] {
            let knots = zip(values, [0.75, 2.5, 4.75] as [Float]).flatMap { [$0.bitPattern, $1.bitPattern] }
            return [3] + bytes(knots + [values[1].bitPattern, Float(7).bitPattern])
        }
        var artifact = bytes([0x4C49_4154, format, 1, Float(7).bitPattern])
        artifact += [1] + withUnsafeBytes(of: (3.0).bitPattern.littleEndian) { Array($0) }
        artifact += side([0, 10, 20]) + side([0, 1, 2])
        let model = try TailSurprise().decode(ArtifactBytes(copying: artifact))
        #expect(model.encode() == artifact)
        // e: 0.75 at the middle, 3.625 half way between two knots, 7 as far beyond the last one: the straight way on.
        let scores = try Table(values: [0, 15, 30], columns: 1).scores(model)
        for (score, e) in zip(scores, [0.75, 3.625, min(7, 4.75 + 2.25 * log(1.5) / log(2))]) {
            let t =
                format == 1
                ? 1 + (3 * (e * e / 3.8667474 - 1)) / 3 : e / 1.6931472 + 2 * max(e - 4.6051702, 0)
            #expect(abs(score + t / (1 + t)) < 1e-9, "\(score), e \(e)")
        }
    }

    @Test func strangeRowsScoreToo() throws {
        let greatest = Float.greatestFiniteMagnitude
        var table = Table.unlikeBells(rows: 200, columns: 3)
        for row in 0..<200 { table.values[row * 3 + 1] = 4 }
        let model = try table.fit()
        let strange: [Float] = [
            .nan, .nan, .nan, .infinity, 4, 20, greatest, 4, 20, -.infinity, -.infinity, -.infinity,
            0, 5, 20, 0, 4, 20, -0.0, 4, 20,
        ]
        let scores = try Table(values: strange, columns: 3).scores(model)
        #expect(scores[0] == -0.5)
        #expect(scores[1] == scores[2])
        #expect(scores[4] < scores[5], "a value apart from a constant column is unusual")
        #expect(scores[5] == scores[6])
        #expect(scores.allSatisfy { $0 <= 0 && $0 > -1 })
        for values in [[Float.nan, .nan], [1e38, -1e38], [3]] {
            let small = try Table(values: values, columns: 1).fit()
            #expect(try Table(values: [0, .nan, 1e38], columns: 1).scores(small).allSatisfy(\.isFinite))
        }
    }

    @Test func damagedBytesAreRefused() throws {
        let columns = ["a", "hour_sin", "hour_cos", "c"].map { name in
            FeatureColumn(name: name, kind: name == "c" ? .categorical(cardinality: 3) : .numeric)
        }
        var values: [Float] = []
        for row in 0..<200 { values += [Float(row), Float(row % 3), Float(row % 2), Float(row % 3)] }
        let table = Table(values: values, columns: 4)
        let bytes = try table.fit(columns: columns).encode()
        for count in 0..<bytes.count {
            #expect(throws: DetectorError.self) {
                try TailSurprise().decode(ArtifactBytes(copying: bytes.prefix(count)))
            }
        }
        // A changed byte is refused, or gives a model that scores.
        for place in bytes.indices {
            for bit in [UInt8(1), 0x80] {
                var damaged = bytes
                damaged[place] ^= bit
                guard let model = try? TailSurprise().decode(ArtifactBytes(copying: damaged)) else {
                    continue
                }
                guard model.columns == 4 else { continue }
                #expect(try table.scores(model).allSatisfy(\.isFinite))
            }
        }
        #expect(throws: DetectorError.self) {
            try TailSurprise().decode(ArtifactBytes(copying: bytes + [0]))
        }
    }

    @Test func nothingToFitOnIsSaid() {
        #expect(throws: DetectorError.self) { try Table(values: [], columns: 2).fit() }
    }
}
