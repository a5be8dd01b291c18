import DetectorAPI
import Foundation
import IsolationForest

/// Our side of the comparison with peers (benchmarks/speed.py): does one piece of work for each line on standard input,
/// and answers with a line that holds a number.
///
/// Seconds are of the process's processor time and a unit of work: a row, a fit, a load. Each is the mean of as many
/// as `secondsOfWork` asks for. `ML_SERVICE_VECTOR_UNIT` says which kernels work; their name is the first line.
struct PeerWorker {
    private let detector = IsolationForest()
    private let parameters: ParameterValues
    private let large = BenchmarkRows.large()
    private let users = BenchmarkRows.users()

    /// - Parameter options: Parameters of the isolation forest, `mode=standard`.
    init(_ options: [String]) throws {
        var given: [String: ParameterValue] = [:]
        for option in options {
            let parts = option.split(separator: "=", maxSplits: 1)
            given[String(parts[0])] = ParameterValue(parsing: String(parts.last ?? ""))
        }
        parameters = try detector.info.checked(given)
    }

    func run() throws {
        print(detector.info.vectorUnit ?? "no kernel")
        fflush(nil)
        let model = try large.withRows { try fit($0, seed: 1) }
        let user = try users.withRows { try fit($0[0..<500], seed: 1) }
        while let work = readLine() {
            print(try measure(work, model, user) ?? .nan)
            fflush(nil)
        }
    }

    /// nil: there is no such work.
    private func measure(
        _ work: String, _ model: any DetectorModel, _ user: any DetectorModel
    ) throws -> Double? {
        switch work {
        case "score-500": try secondsPerRow(model, batch: 500)
        case "score-1": try secondsPerRow(model, batch: 1)
        case "fit": try large.withRows { rows in try seconds { _ = try fit(rows, seed: UInt64($0)) } }
        case "fit-user":
            try users.withRows { rows in
                try seconds { number in
                    let first = number % 100 * 500
                    _ = try fit(rows[first..<first + 500], seed: UInt64(number))
                }
            }
        case "bytes": Double(model.encode().count)
        case "bytes-user": Double(user.encode().count)
        case "load": try secondsToLoad(model)
        case "load-user": try secondsToLoad(user)
        default: nil
        }
    }

    private func fit(_ rows: FeatureRows, seed: UInt64) throws -> any DetectorModel {
        let columns = (0..<rows.columns).map { FeatureColumn(name: "f\($0)") }
        return try detector.fit(
            rows, labels: nil, context: FitContext(seed: seed, parameters: parameters, columns: columns))
    }

    private func secondsPerRow(_ model: any DetectorModel, batch: Int) throws -> Double {
        var scores = [Double](repeating: 0, count: batch)
        return try large.withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try seconds { number in
                    let first = number * batch % 20_000
                    try model.score(rows[first..<first + batch], into: scores)
                } / Double(batch)
            }
        }
    }

    private func secondsToLoad(_ model: any DetectorModel) throws -> Double {
        let artifact = ArtifactBytes(copying: model.encode())
        return try seconds { _ in _ = try detector.decode(artifact) }
    }

    private func seconds(_ body: (Int) throws -> Void) rethrows -> Double { try secondsOfWork(body) }
}

/// Of processor time a call: the mean of as many as take 0.2 seconds.
func secondsOfWork(_ body: (Int) throws -> Void) rethrows -> Double {
    let start = processSeconds()
    var count = 0
    while true {
        try body(count)
        count += 1
        // The clock is looked at seldom: it costs a good part of a microsecond.
        if count & 15 == 0 || count < 16 {
            let spent = processSeconds() - start
            if spent >= 0.2 { return spent / Double(count) }
        }
    }
}

/// Processor time of all threads.
func processSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
