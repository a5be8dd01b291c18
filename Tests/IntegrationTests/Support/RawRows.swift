import DetectorAPI
import Features
import Foundation
import Transactions

/// Transactions' features as they are before preprocessing, made from a seed.
struct RawRows {
    static let width = UserWindow.featureCount

    let count: Int
    /// Row-major, all numeric features of the schema.
    var numeric: [Float]
    /// For each categorical feature of the schema, each row's text.
    var categories: [[String?]]

    /// Around the values that decide: near a column's centre, at its very edges, far away, and missing.
    init(_ preprocessing: Preprocessing, count: Int, seed: UInt64) {
        self.count = count
        var generator = SeededGenerator(seed: seed)
        var centres = [Double](repeating: 0, count: Self.width)
        var scales = [Double](repeating: 1, count: Self.width)
        for column in preprocessing.numeric {
            guard let place = FeatureSchema.index(of: column.feature) else { continue }
            (centres[place], scales[place]) = (column.centre, column.scale)
        }
        numeric = (0..<count * Self.width).map { place in
            let (centre, scale) = (centres[place % Self.width], scales[place % Self.width])
            switch generator.below(12) {
            case 0: return .nan
            case 1: return Float(centre)
            case 2: return Float(centre + scale * 1e6 * (generator.unit() - 0.5))
            case 3: return Float(generator.below(30))
            case 4: return [0, 1, -.greatestFiniteMagnitude, .greatestFiniteMagnitude][generator.below(4)]
            default:
                let bell = (0..<6).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 }
                return Float(centre + 2 * scale * bell)
            }
        }
        categories = FeatureSchema.categorical.map { feature, _ in
            let known = preprocessing.categorical.first { $0.feature == feature.name }?.categories ?? []
            let texts: [String?] = known + ["never seen", "other", nil]
            return (0..<count).map { _ in texts[generator.below(texts.count)] }
        }
    }

    /// As the service encodes them.
    func encoded(_ preprocessing: Preprocessing) throws -> [Float] {
        let plan = try PreprocessingPlan(preprocessing)
        var encoded = [Float](repeating: 0, count: count * plan.columnCount)
        for row in 0..<count {
            let hashes = categories.map { texts in texts[row].map { TextHash.hash($0) } ?? 0 }
            numeric[row * Self.width..<(row + 1) * Self.width].withUnsafeBufferPointer { numeric in
                hashes.withUnsafeBufferPointer { hashes in
                    encoded[row * plan.columnCount..<(row + 1) * plan.columnCount]
                        .withUnsafeMutableBufferPointer {
                            plan.apply(numeric: numeric, categories: hashes, into: $0)
                        }
                }
            }
        }
        return encoded
    }

    /// The files that `score.py` reads.
    func write(_ preprocessing: Preprocessing, to folder: TemporaryFolder) throws {
        let places = preprocessing.numeric.compactMap { FeatureSchema.index(of: $0.feature) }
        let month = FeatureSchema.index(of: "count_30d") ?? 0
        let cold = Set(Preprocessing.coldFeatures.compactMap { FeatureSchema.index(of: $0) })
        // Of a user who is hardly known whoever scores leaves some features out, as the graph's description says.
        let features = (0..<count).flatMap { row in
            let isCold = numeric[row * Self.width + month] < Float(preprocessing.coldBelow ?? 0)
            return places.map { place in
                isCold && preprocessing.coldBelow != nil && cold.contains(place)
                    ? .nan : numeric[row * Self.width + place]
            }
        }
        try PythonScript.write(features, to: folder.file("features"))
        var texts: [String: [String]] = [:]
        for group in preprocessing.categorical {
            guard
                let place = FeatureSchema.categorical.firstIndex(where: { $0.feature.name == group.feature })
            else { continue }
            texts[group.feature] = categories[place].map { $0 ?? "" }
        }
        try JSONEncoder().encode(texts).write(to: folder.file("rows.json"))
    }
}

extension DetectorModel {
    func scores(_ values: [Float]) throws -> [Double] {
        var scores = [Double](repeating: 1, count: values.count / columns)
        try values.withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer {
                try score(FeatureRows(values, columns: columns), into: $0)
            }
        }
        return scores
    }
}
