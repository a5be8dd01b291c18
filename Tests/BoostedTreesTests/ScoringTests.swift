import CForestKernels
import DetectorAPI
import Testing

@testable import BoostedTrees

/// A row's score is its own, on every kernel.
@Suite struct ScoringTests {
    private static let odd: [Float] = [
        .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
        .leastNonzeroMagnitude, 0,
        -0.0, 1e30, -1e30, 39, 40, -1, 2.5,
    ]

    @Test("all kernels that this processor has give the same bits, alone and in batches of any size")
    func kernels() throws {
        let artifact = ArtifactBytes(
            copying: try Planted(2_000, gaps: 0.1, withCategories: true).fit().encode())
        var planted = Planted(300, seed: 4, gaps: 0.1, withCategories: true)
        for row in 0..<100 { planted.values[row * 6 + row % 6] = Self.odd[row % Self.odd.count] }
        let alone = try (0..<planted.count).map { row in
            try BoostedModel(decoding: artifact).scores(Array(planted.values[row * 6..<row * 6 + 6]))[0]
        }
        for unit in VectorUnit.all {
            guard unit.supported != 0 else {
                print("boosted trees: this processor has no \(unit.name), its kernel was not run")
                continue
            }
            let model = try BoostedModel(decoding: artifact, unit: unit)
            for size in Array(1...66) + [127, 128, 129, 300] {
                let scores = try model.scores(Array(planted.values[..<(size * 6)]))
                #expect(isSame(scores, Array(alone[..<size])), "\(unit.name), \(size) rows")
            }
        }
    }

    @Test("categories that are none count as missing")
    func categories() throws {
        let model = try Planted(2_000, withCategories: true).fit()
        let row: [Float] = [0.5, 0.5, 0, 0, 0]
        let missing = try model.scores(row + [.nan])[0]
        for code in [40, -1, 1.5, .infinity, -.infinity, 1e30] as [Float] {
            #expect(try model.scores(row + [code])[0] == missing)
        }
        #expect(try model.scores(row + [3])[0] != missing)
    }

    @Test("scores fall as margins rise")
    func order() throws {
        let planted = Planted(3_000, gaps: 0.05)
        let model = try planted.fit()
        var margins = [Double](repeating: 0, count: planted.count)
        try planted.withRows { rows in
            try margins.withUnsafeMutableBufferPointer { try model.margins(rows, into: $0) }
        }
        let scores = try model.scores(planted)
        let order = margins.indices.sorted { margins[$0] < margins[$1] }
        for (one, next) in zip(order, order.dropFirst()) {
            #expect(margins[one] == margins[next] ? scores[one] == scores[next] : scores[one] > scores[next])
        }
    }

    @Test("contributions sum to the score, and name what was planted")
    func explaining() throws {
        let model = try Planted(3_000, withCategories: true).fit()
        var planted = Planted(500, seed: 6, gaps: 0.05, withCategories: true)
        for row in 0..<100 { planted.values[row * 6 + row % 6] = Self.odd[row % Self.odd.count] }
        for row in 400..<500 {
            planted.values.replaceSubrange(row * 6..<row * 6 + 6, with: [1.5, 1, 0, 0, 0, 1])
        }
        let expected = try model.scores(planted)
        var scores = [Double](repeating: .nan, count: planted.count)
        var contributions = [Double](repeating: .nan, count: planted.count * 6)
        try planted.withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try model.explain(rows, into: scores, contributions: $0)
                }
            }
        }
        #expect(isSame(scores, expected))
        for row in 0..<planted.count {
            let own = contributions[row * 6..<row * 6 + 6]
            #expect(abs(own.reduce(0, +) - (scores[row] - model.expectedScore)) < 1e-9)
            if row >= 400 {
                let strongest = own.indices.sorted { own[$0] < own[$1] }.prefix(2).map { $0 - row * 6 }
                #expect(Set(strongest) == [0, 1])
            }
        }
    }
}
