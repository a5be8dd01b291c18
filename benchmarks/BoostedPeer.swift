import BoostedTrees
import DetectorAPI
import Foundation

/// Our side of the comparison of boosted trees (benchmarks/peers/boosted.py): the same answers as `PeerWorker`.
///
/// `ML_SERVICE_VECTOR_UNIT` says which kernel scores.
struct BoostedPeer {
    /// Rows that are learned from, and how many of them are scored in turn.
    private static let rowCount = 60_000
    static let columns = 22

    private let rows = BenchmarkRows(rows: rowCount, columns: columns, seed: 3)

    /// One row in about thirty is a fraud, by what three columns say together, and by chance.
    private var labels: [Int8] {
        var generator = SeededGenerator(seed: 4)
        return rows.withRows { rows in
            (0..<rows.count).map { row in
                let risk = rows[row][0] + max(rows[row][1], rows[row][2]) + Float(generator.unit())
                return risk > 2.4 ? 1 : 0
            }
        }
    }

    /// For peers that are no Swift: `boosted.f32` row-major, and `boosted.i8`.
    func write(to folder: String) throws {
        try rows.write(to: folder + "/boosted.f32")
        try labels.withUnsafeBytes { try Data($0).write(to: URL(filePath: folder + "/boosted.i8")) }
    }

    /// Says the kernel's name, then a number for each line on standard input.
    func run() throws {
        let detector = BoostedTrees()
        let columns = (0..<Self.columns).map { FeatureColumn(name: "f\($0)") }
        let context = FitContext(seed: 1, parameters: try detector.info.checked([:]), columns: columns)
        let model = try rows.withRows { rows in
            try labels.withUnsafeBufferPointer { try detector.fit(rows, labels: $0, context: context) }
        }
        print(detector.info.vectorUnit ?? "no kernel")
        fflush(nil)
        while let work = readLine() {
            let answer: Double =
                switch work {
                case "score-500": try secondsPerRow(model, batch: 500)
                case "score-1": try secondsPerRow(model, batch: 1)
                case "bytes": Double(model.encode().count)
                default: .nan
                }
            print(answer)
            fflush(nil)
        }
    }

    private func secondsPerRow(_ model: any DetectorModel, batch: Int) throws -> Double {
        var scores = [Double](repeating: 0, count: batch)
        return try rows.withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try secondsOfWork { number in
                    let first = number * batch % 20_000
                    try model.score(rows[first..<first + batch], into: scores)
                } / Double(batch)
            }
        }
    }
}
