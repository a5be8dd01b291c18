import CForestKernels
import DetectorAPI

@testable import IsolationForest

/// Rows to fit and score, made from a seed.
struct Table {
    var values: [Float]
    let columns: Int

    var count: Int { values.count / columns }

    /// Sums of six uniform numbers: round enough, and the same on every machine.
    static func bells(rows: Int, columns: Int, seed: UInt64 = 1) -> Table {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<rows * columns).map { _ in
            Float((0..<6).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 })
        }
        return Table(values: values, columns: columns)
    }

    /// With every so many-th value missing.
    func missing(every step: Int) -> Table {
        var copy = self
        for place in stride(from: step / 2, to: values.count, by: step) { copy.values[place] = .nan }
        return copy
    }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    func context(_ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws -> FitContext {
        FitContext(
            seed: seed, parameters: try IsolationForest().info.checked(given),
            columns: (0..<columns).map { FeatureColumn(name: "column \($0)") })
    }

    func fit(_ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws -> any DetectorModel {
        try withRows { rows in
            try IsolationForest().fit(rows, labels: nil, context: context(given, seed: seed))
        }
    }

    func scores(_ model: any DetectorModel) throws -> [Double] {
        var scores = [Double](repeating: 1, count: count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { try model.score(rows, into: $0) }
        }
        return scores
    }

    func explained(_ model: any DetectorModel) throws -> (scores: [Double], contributions: [[Double]]) {
        guard let model = model as? any Explaining else { return ([], []) }
        var scores = [Double](repeating: 1, count: count)
        var contributions = [Double](repeating: 1, count: values.count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try model.explain(rows, into: scores, contributions: $0)
                }
            }
        }
        let rows = (0..<count).map { Array(contributions[$0 * columns..<($0 + 1) * columns]) }
        return (scores, rows)
    }
}

/// FNV-1a, 64 bits.
func fingerprint(_ bytes: [UInt8]) -> String {
    let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
}

extension VectorUnit {
    /// All that this processor has; the others are named once.
    static let ofThisProcessor: [VectorUnit] = [portable, .avx2, .avx512, .neon].filter { unit in
        if unit.supported == 0 {
            print(
                "isolation forest: this processor has no \(String(cString: unit.cName)), its kernels were not run"
            )
        }
        return unit.supported != 0
    }
}

extension ForestWalk {
    static let all = VectorUnit.ofThisProcessor.map(ForestWalk.init)
}

extension GrowerLoops {
    static let all = VectorUnit.ofThisProcessor.map(GrowerLoops.init)
}
