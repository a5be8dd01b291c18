import DetectorAPI
import Foundation
import Logging
import Plugins

/// Prints microseconds a row of the loaded detectors: 10 columns, fitted on 20,000 rows, batches of 1, 500 and 100,000.
func benchmarkScoring() throws {
    let folder = (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") as NSString)
        .deletingLastPathComponent
    let registry = DetectorRegistry(
        ownFolder: folder, logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() })
    registry.rescan()
    let columns = 10
    var generator = SeededGenerator(seed: 9)
    let values = (0..<100_000 * columns).map { _ in Float(generator.unit() + generator.unit() - 1) }
    print("\nscore, us a row, through the plugin (10 columns; median of 5)")
    for loaded in registry.detectors {
        let context = FitContext(
            seed: 1, parameters: try loaded.info.checked([:]),
            columns: (0..<columns).map { FeatureColumn(name: "f\($0)") })
        let model = try values.withUnsafeBufferPointer { values in
            try loaded.detector.fit(
                FeatureRows(UnsafeBufferPointer(rebasing: values[..<(20_000 * columns)]), columns: columns),
                labels: nil, context: context)
        }
        var cells: [String] = []
        for batch in [1, 500, 100_000] {
            let times = try (0..<5).map { _ in
                try secondsPerRow(model, values, columns: columns, batch: batch)
            }
            cells.append("batch \(batch): " + String(format: "%.3f", times.sorted()[2] * 1e6))
        }
        let size = model.encode().count / 1_000
        print("  \(loaded.info.id): \(cells.joined(separator: ", ")); artifact \(size) kB")
    }
}

private func secondsPerRow(
    _ model: any DetectorModel, _ values: [Float], columns: Int, batch: Int
) throws -> Double {
    let rows = max(batch, 5_000)
    var scores = [Double](repeating: 0, count: batch)
    let start = ContinuousClock.now
    try values.withUnsafeBufferPointer { values in
        try scores.withUnsafeMutableBufferPointer { scores in
            for first in stride(from: 0, to: rows, by: batch) {
                let part = values[first * columns..<(first + batch) * columns]
                try model.score(
                    FeatureRows(UnsafeBufferPointer(rebasing: part), columns: columns), into: scores)
            }
        }
    }
    return (ContinuousClock.now - start) / .seconds(1) / Double(rows)
}
