import DetectorAPI

/// Rows for detectors to fit and score, made from a seed.
public struct Table: Sendable {
    public var values: [Float]
    public let columns: Int
    public var count: Int { values.count / columns }

    public init(values: [Float], columns: Int) {
        self.values = values
        self.columns = columns
    }

    /// Sums of six uniform numbers: round enough, and the same on every machine.
    public static func bells(rows: Int, columns: Int, seed: UInt64 = 1) -> Table {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<rows * columns).map { _ in
            Float((0..<6).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 })
        }
        return Table(values: values, columns: columns)
    }

    /// Columns of different centres and widths, of sums of twelve.
    public static func unlikeBells(rows: Int, columns: Int, seed: UInt64 = 1) -> Table {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<rows * columns).map { place in
            let bell = (0..<12).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 }
            return Float(bell * Double(1 + place % columns) + Double(10 * (place % columns)))
        }
        return Table(values: values, columns: columns)
    }

    /// With every so many-th value missing.
    public func missing(every step: Int) -> Table {
        var copy = self
        for place in stride(from: step / 2, to: values.count, by: step) { copy.values[place] = .nan }
        return copy
    }

    public func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    /// For a detector that takes these parameters.
    public func context(
        _ info: DetectorInfo, _ given: [String: ParameterValue], seed: UInt64,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) throws -> FitContext {
        FitContext(
            seed: seed, parameters: try info.checked(given),
            columns: (0..<columns).map { FeatureColumn(name: "column \($0)") }, isCancelled: isCancelled)
    }

    public func scores(_ model: any DetectorModel) throws -> [Double] {
        var scores = [Double](repeating: 1, count: count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { try model.score(rows, into: $0) }
        }
        return scores
    }

    /// - Returns: Nothing of a model that does not explain; else a score and the columns' contributions of each row.
    public func explained(
        _ model: any DetectorModel
    ) throws -> (scores: [Double], contributions: [[Double]]) {
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
public func fingerprint(_ bytes: [UInt8]) -> String {
    let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
}
