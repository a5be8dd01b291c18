import DetectorAPI
import Foundation
import IsolationForest
import Logging
import Plugins
import ZScoreBaseline

/// What the boundary costs: microseconds a row of a detector that is linked into this process, of the same one as a
/// plugin, and as a plugin in a process of its own. 10 columns, batches of 1, 500 and 100,000.
///
/// The three take turns, so that what else the machine does falls on all of them; medians of 15 rounds.
func benchmarkScoring() throws {
    let folder = (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") as NSString)
        .deletingLastPathComponent
    let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    let plugins = DetectorRegistry(ownFolder: folder, logger: logger)
    plugins.rescan()
    let isolated = DetectorRegistry(
        folders: [folder],
        isolation: PluginIsolation(executable: folder + "/ml-service", arguments: ["detectors", "isolated"]),
        logger: logger)
    isolated.rescan()

    let columns = 10
    var generator = SeededGenerator(seed: 9)
    let values = (0..<100_000 * columns).map { _ in Float(generator.unit() + generator.unit() - 1) }
    print("\nscore, us a row (10 columns; median of 15): linked, plugin, plugin in a process of its own")
    for linked in [IsolationForest(), ZScoreBaseline()] as [any Detector] {
        let id = linked.info.id
        let ways = [linked, plugins.detector(id: id)?.detector, isolated.detector(id: id)?.detector]
        let models = try ways.compactMap(\.self).map { try fit($0, values, columns: columns) }
        for batch in [1, 500, 100_000] {
            var times = models.map { _ in [Double]() }
            for _ in 0..<15 {
                for (way, model) in models.enumerated() {
                    times[way].append(try secondsPerRow(model, values, columns: columns, batch: batch))
                }
            }
            let medians = times.map { $0.sorted()[$0.count / 2] * 1e6 }
            let cells = medians.map { String(format: "%.3f (%+.1f %%)", $0, ($0 / medians[0] - 1) * 100) }
            print("  \(id), batch \(batch): \(cells.joined(separator: "; "))")
        }
    }
}

private func fit(_ detector: any Detector, _ values: [Float], columns: Int) throws -> any DetectorModel {
    let context = FitContext(
        seed: 1, parameters: try detector.info.checked([:]),
        columns: (0..<columns).map { FeatureColumn(name: "f\($0)") })
    return try values.withUnsafeBufferPointer { values in
        try detector.fit(
            FeatureRows(UnsafeBufferPointer(rebasing: values[..<(20_000 * columns)]), columns: columns),
            labels: nil, context: context)
    }
}

private func secondsPerRow(
    _ model: any DetectorModel, _ values: [Float], columns: Int, batch: Int
) throws -> Double {
    let rows = batch == 1 ? 2_000 : max(batch, 20_000)
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
