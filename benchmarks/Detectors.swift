import DetectorAPI
import Foundation
import IsolationForest
import ZScoreBaseline

/// The detectors alone, on one core and rows made from a seed: 1,000,000 x 10 for one model, 500 x 8 for each of many.
///
/// Times are the best of several rounds in the thread's processor time, so that others on the machine disturb little.
func benchmarkDetectors() {
    print(
        "\ndetectors: 100 trees of 256 rows; batches of 10 features; users' models of 500 rows x 8 features")
    print(
        cells([
            "detector", "us/row, 1", "500", "100,000", "explain 500", "fit 1M ms", "bytes", "decode us",
            "users/s", "bytes", "decode us",
        ]))
    let large = BenchmarkRows.large()
    let small = BenchmarkRows.users()
    let cases: [(String, any Detector, [String: ParameterValue])] = [
        ("forest, standard", IsolationForest(), ["mode": .text("standard")]),
        ("forest, guided", IsolationForest(), ["mode": .text("guided")]),
        ("z-score, robust", ZScoreBaseline(), ["robust": .boolean(true)]),
        ("z-score, moments", ZScoreBaseline(), ["robust": .boolean(false)]),
    ]
    for (name, detector, options) in cases {
        do {
            let benchmark = try DetectorBenchmark(detector, options)
            print(cells([name] + (try benchmark.large(large)) + (try benchmark.users(small))))
        } catch {
            print("\(name): \(error)")
        }
    }
}

/// Measures one detector with one set of parameters.
private struct DetectorBenchmark {
    let detector: any Detector
    let parameters: ParameterValues

    init(_ detector: any Detector, _ options: [String: ParameterValue]) throws {
        self.detector = detector
        parameters = try detector.info.checked(options)
    }

    private func fit(_ rows: FeatureRows, seed: UInt64) throws -> any DetectorModel {
        let columns = (0..<rows.columns).map { FeatureColumn(name: "f\($0)") }
        return try detector.fit(
            rows, labels: nil, context: FitContext(seed: seed, parameters: parameters, columns: columns))
    }

    /// Microseconds a row in batches of 1, 500 and 100,000 and explained, milliseconds to fit, bytes, microseconds to decode.
    func large(_ table: BenchmarkRows) throws -> [String] {
        try table.withRows { rows in
            var model = try fit(rows, seed: 1)
            var seed: UInt64 = 1
            let fitting = try bestSeconds(rounds: 15) {
                seed += 1
                model = try fit(rows, seed: seed)
            }
            var results: [String] = []
            for size in [1, 500, 100_000] {
                results.append(text(try secondsPerRow(model, rows, batch: size) * 1e6))
            }
            results.append(text(try secondsPerExplainedRow(model, rows, batch: 500) * 1e6))
            return results + [text(fitting * 1e3)] + (try artifact(model))
        }
    }

    /// Models a second, bytes of one, microseconds to decode it.
    func users(_ table: BenchmarkRows) throws -> [String] {
        try table.withRows { rows in
            let users = 100
            let size = rows.count / users
            let seconds = try bestSeconds(rounds: 10) {
                for user in 0..<users {
                    _ = try fit(rows[user * size..<(user + 1) * size], seed: UInt64(user))
                }
            }
            let model = try fit(rows[0..<size], seed: 1)
            return [text(Double(users) / seconds)] + (try artifact(model))
        }
    }

    private func artifact(_ model: any DetectorModel) throws -> [String] {
        let artifact = ArtifactBytes(copying: model.encode())
        let decoding = try bestSeconds(rounds: 200) { _ = try detector.decode(artifact) }
        return ["\(artifact.bytes.count)", text(decoding * 1e6)]
    }

    private func secondsPerRow(_ model: any DetectorModel, _ rows: FeatureRows, batch: Int) throws -> Double {
        var scores = [Double](repeating: 0, count: batch)
        let batches = max(1, 20_000 / batch)
        return try scores.withUnsafeMutableBufferPointer { scores in
            let seconds = try bestSeconds(rounds: 15) {
                for number in 0..<batches {
                    try model.score(rows[number * batch..<(number + 1) * batch], into: scores)
                }
            }
            return seconds / Double(batches * batch)
        }
    }

    private func secondsPerExplainedRow(
        _ model: any DetectorModel, _ rows: FeatureRows, batch: Int
    ) throws -> Double {
        guard let model = model as? any Explaining else { return .nan }
        var scores = [Double](repeating: 0, count: batch)
        var contributions = [Double](repeating: 0, count: batch * rows.columns)
        return try scores.withUnsafeMutableBufferPointer { scores in
            try contributions.withUnsafeMutableBufferPointer { contributions in
                try bestSeconds(rounds: 15) {
                    try model.explain(rows[0..<batch], into: scores, contributions: contributions)
                } / Double(batch)
            }
        }
    }
}

private func bestSeconds(rounds: Int, _ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<rounds {
        let start = threadSeconds()
        try body()
        best = min(best, threadSeconds() - start)
    }
    return best
}

private func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

private func text(_ number: Double) -> String {
    String(format: number < 10 ? "%.2f" : number < 100 ? "%.1f" : "%.0f", number)
}

private func cells(_ texts: [String]) -> String {
    texts.enumerated().map { place, text in
        place == 0
            ? text.padding(toLength: 18, withPad: " ", startingAt: 0)
            : String(repeating: " ", count: max(0, 12 - text.count)) + text
    }.joined()
}
