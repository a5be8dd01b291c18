import DetectorAPI

@testable import TailSurprise

/// Rows to fit and score, made from a seed.
struct Table {
    var values: [Float]
    let columns: Int
    var count: Int { values.count / columns }

    static func bells(rows: Int, columns: Int, seed: UInt64 = 1) -> Table {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<rows * columns).map { place in
            let bell = (0..<12).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 }
            return Float(bell * Double(1 + place % columns) + Double(10 * (place % columns)))
        }
        return Table(values: values, columns: columns)
    }

    func missing(every step: Int) -> Table {
        var copy = self
        for place in stride(from: step / 2, to: values.count, by: step) { copy.values[place] = .nan }
        return copy
    }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    func fit(
        _ given: [String: ParameterValue] = [:], seed: UInt64 = 1, columns: [FeatureColumn] = []
    ) throws -> any DetectorModel {
        let context = FitContext(
            seed: seed, parameters: try TailSurprise().info.checked(given), columns: columns)
        return try withRows { try TailSurprise().fit($0, labels: nil, context: context) }
    }

    func scores(_ model: any DetectorModel) throws -> [Double] {
        var scores = [Double](repeating: 1, count: count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { try model.score(rows, into: $0) }
        }
        return scores
    }

    func explained(_ model: any DetectorModel) throws -> (scores: [Double], contributions: [Double]) {
        var scores = [Double](repeating: 1, count: count)
        var contributions = [Double](repeating: 1, count: values.count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try (model as? any Explaining)?.explain(rows, into: scores, contributions: $0)
                }
            }
        }
        return (scores, contributions)
    }
}
