import DetectorAPI
import Foundation

/// Rows made from a seed: sums of six uniform numbers.
struct BenchmarkRows {
    private let values: [Float]
    private let columns: Int

    init(rows: Int, columns: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        self.columns = columns
        values = (0..<rows * columns).map { _ in
            var sum = 0.0
            for _ in 0..<6 { sum += generator.unit() - 0.5 }
            return Float(sum)
        }
    }

    /// Of one model: 1,000,000 x 10.
    static func large() -> BenchmarkRows { BenchmarkRows(rows: 1_000_000, columns: 10, seed: 1) }

    /// Of a hundred users: 500 x 8 each, one after another.
    static func users() -> BenchmarkRows { BenchmarkRows(rows: 100 * 500, columns: 8, seed: 2) }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    /// Writes 32-bit floats, row-major, for peers that are no Swift.
    func write(to path: String) throws {
        try values.withUnsafeBytes { try Data($0).write(to: URL(filePath: path)) }
    }
}
