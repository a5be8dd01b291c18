import DetectorAPI
import TestTables
import Testing

@testable import TailSurprise

/// Values that differ by a category are judged within it.
@Suite struct TailGroupingTests {
    /// Groceries of about 20 and flights of about 400, a third of the rows; a few of a third kind, and some of none.
    private static func purchases(_ count: Int) -> Table {
        var generator = SeededGenerator(seed: 3)
        let values = (0..<count).flatMap { row -> [Float] in
            let kind: Float = row % 50 == 7 ? .nan : row % 40 == 3 ? 2 : row % 3 == 0 ? 1 : 0
            let spread = Float(1 + generator.unit() + generator.unit() + generator.unit())
            return [kind == 1 ? 160 * spread : 8 * spread, kind, Float(generator.unit())]
        }
        return Table(values: values, columns: 3)
    }

    private static let purchase = [
        FeatureColumn(name: "amount"),
        FeatureColumn(name: "category", kind: .categorical(cardinality: 4)),
        FeatureColumn(name: "other"),
    ]

    @Test func aValueIsJudgedWithinItsCategory() throws {
        let table = Self.purchases(3_000)
        let rows = Table(values: [400, 0, 0.5, 400, 1, 0.5, 20, 1, 0.5, 20, 0, 0.5], columns: 3)
        let scores = try rows.scores(table.fit(columns: Self.purchase))
        #expect(scores[0] < -0.75, "groceries of 400")
        #expect(scores[1] > -0.55, "a flight of 400")
        #expect(scores[2] < scores[3], "a flight of 20")
        let whole = try rows.scores(table.fit(["group": .boolean(false)], columns: Self.purchase))
        #expect(abs(whole[0] - whole[1]) < 0.1, "all amounts together tell nothing")
    }

    @Test func whatHasNoCategoryOfItsOwnIsJudgedAmongAll() throws {
        let table = Self.purchases(3_000)
        let amounts: [Float] = [400, 5_000]
        let rows = Table(values: amounts.flatMap { [$0, .nan, 0.5, $0, 3, 0.5, $0, 99, 0.5] }, columns: 3)
        let scores = try rows.scores(table.fit(columns: Self.purchase))
        #expect(scores[0] == scores[1] && scores[1] == scores[2])
        #expect(scores[3] < scores[0])
        // With few rows all are: a user's own model is no larger than it was.
        let few = Self.purchases(500)
        let bytes = try few.fit(columns: Self.purchase).encode()
        let ungrouped = try few.fit(["group": .boolean(false)], columns: Self.purchase).encode()
        #expect(bytes == ungrouped)
        #expect(bytes[4] == 2, "the format that groups are not known to")
    }

    @Test func damagedGroupsAreRefused() throws {
        let model = try Self.purchases(3_000).fit(columns: Self.purchase)
        let bytes = model.encode()
        #expect(bytes[4] == 3)
        let rows = Table(values: [400, 0, 0.5, 400, 1, 0.5, .nan, .nan, .nan, 20, 3, 0.5], columns: 3)
        let decoded = try TailSurprise().decode(ArtifactBytes(copying: bytes))
        #expect(try rows.scores(decoded) == rows.scores(model))
        #expect(decoded.encode() == bytes)
        for count in 0..<bytes.count {
            #expect(throws: DetectorError.self) {
                try TailSurprise().decode(ArtifactBytes(copying: bytes.prefix(count)))
            }
        }
        for place in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[place] ^= 1 << UInt8(bit)
                guard let model = try? TailSurprise().decode(ArtifactBytes(copying: damaged)) else {
                    continue
                }
                guard model.columns == 3 else { continue }
                #expect(try rows.scores(model).allSatisfy(\.isFinite))
            }
        }
        var older = bytes
        older[4] = 2
        #expect(throws: DetectorError.self) { try TailSurprise().decode(ArtifactBytes(copying: older)) }
    }

    /// Written by hand: what artifacts of format 3 say is fixed.
    @Test func groupsOfFormat3AreRead() throws {
        func bytes(_ numbers: [UInt32]) -> [UInt8] {
            numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        }
        func side(_ values: [Float]) -> [UInt8] {
            let knots = zip(values, [0.75, 2.5] as [Float]).flatMap { [$0.bitPattern, $1.bitPattern] }
            return [2] + bytes(knots + [Float.nan.bitPattern, Float(6).bitPattern])
        }
        let weight = withUnsafeBytes(of: (1.0).bitPattern.littleEndian) { Array($0) }
        let (all, own) = (side([0, 10]) + side([0, 10]), side([100, 200]) + side([-100, 0]))
        var artifact = bytes([0x4C49_4154, 3, 2, Float(7).bitPattern]) + [5] + weight
        artifact += bytes([UInt32(20 + all.count + own.count), 1, 2, 0, UInt32(20 + all.count)]) + all + own
        artifact += [0] + weight
        let model = try TailSurprise().decode(ArtifactBytes(copying: artifact))
        #expect(model.encode() == artifact)
        let rows = Table(values: [10, 0, 10, .nan, 10, 1, 200, 1, 50, 0], columns: 2)
        for (score, e) in zip(try rows.scores(model), [2.5, 2.5, 2.325, 2.5, 6]) {
            let t = 1 + (e / 1.6931472 - 1 + 0) / 2
            #expect(abs(score + t / (1 + t)) < 1e-6, "\(score), e \(e)")
        }
    }
}
