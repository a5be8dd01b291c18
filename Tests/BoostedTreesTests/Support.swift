import CForestKernels
import DetectorAPI

@testable import BoostedTrees

/// Rows with labels, made from a seed: frauds are more likely where the first two columns are both high, and in some
/// categories; the other columns say nothing.
struct Planted {
    static let cardinality = 40

    var columns: [FeatureColumn]
    var values: [Float] = []
    var labels: [Int8] = []
    var count: Int { labels.count }

    /// - Parameters:
    ///   - gaps: The share of values that are missing.
    ///   - withCategories: Whether the last column is one of categories.
    init(_ count: Int, seed: UInt64 = 1, columns: Int = 6, gaps: Double = 0, withCategories: Bool = false) {
        self.columns = (0..<columns).map { FeatureColumn(name: "column\($0)") }
        if withCategories {
            self.columns[columns - 1] = FeatureColumn(
                name: "category", kind: .categorical(cardinality: Self.cardinality))
        }
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<count {
            var row = (0..<columns).map { _ in
                Float((0..<4).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 } * 2)
            }
            let category = generator.below(Self.cardinality)
            var odds = row[0] > 0.5 && row[1] > 0 ? 0.6 : 0.01
            if withCategories {
                row[columns - 1] = Float(category)
                if category % 7 == 3 { odds += 0.3 }
            }
            labels.append(generator.unit() < odds ? 1 : 0)
            for place in row.indices where generator.unit() < gaps { row[place] = .nan }
            values += row
        }
    }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns.count)) }
    }

    func context(
        _ parameters: [String: ParameterValue] = [:], seed: UInt64 = 7,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) throws -> FitContext {
        FitContext(
            seed: seed, parameters: try BoostedTrees().info.checked(parameters), columns: columns,
            isCancelled: isCancelled)
    }

    func fit(_ parameters: [String: ParameterValue] = [:], seed: UInt64 = 7) throws -> BoostedModel {
        let context = try context(parameters, seed: seed)
        return try withRows { rows in
            try labels.withUnsafeBufferPointer { labels in
                let model = try BoostedTrees().fit(rows, labels: labels, context: context)
                return try BoostedModel(decoding: ArtifactBytes(copying: model.encode()))
            }
        }
    }
}

extension DetectorModel {
    func scores(_ planted: Planted) throws -> [Double] { try scores(planted.values) }

    func scores(_ values: [Float]) throws -> [Double] {
        var scores = [Double](repeating: .nan, count: values.count / columns)
        try values.withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer {
                try score(FeatureRows(values, columns: columns), into: $0)
            }
        }
        return scores
    }
}

/// The share of pairs of a fraud and a genuine row in which the fraud scores lower.
func auroc(_ scores: [Double], _ labels: [Int8]) -> Double {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    var (genuine, pairs) = (0, 0)
    for row in order {
        if labels[row] == 1 { pairs += genuine } else { genuine += 1 }
    }
    return Double(pairs) / Double(genuine * (labels.count - genuine))
}

func isSame(_ one: [Double], _ other: [Double]) -> Bool {
    one.count == other.count && zip(one, other).allSatisfy { $0.bitPattern == $1.bitPattern }
}

extension VectorUnit {
    static let all: [VectorUnit] = [.portable, .avx2, .avx512, .neon]

    var name: String { String(cString: cName) }
}
