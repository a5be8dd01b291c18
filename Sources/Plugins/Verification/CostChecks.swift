import CProcess
import DetectorAPI

extension Check {
    /// What is left over after this many bytes is a leak and not a table that grew once.
    private static let allowedGrowth = 16_384

    static let memory = Check("no growth of memory") { subject in
        let model = try subject.fit(SampleTable.normal(500, columns: 5))
        let rows = SampleTable.normal(16, columns: 5, seed: 2)
        let bytes = model.encode()
        let scorings = subject.settings.scorings
        let ofScoring = try growth(calls: scorings) { _ = try model.scores(of: rows) }
        guard ofScoring <= allowedGrowth else {
            throw CheckFailure("\(scorings) batches of 16 rows leave \(ofScoring) bytes")
        }
        let decodings = scorings / 10
        let ofDecoding = try growth(calls: decodings) { _ = try subject.decode(bytes) }
        guard ofDecoding <= allowedGrowth else {
            throw CheckFailure("\(decodings) models decoded and freed leave \(ofDecoding) bytes")
        }
        return .passed("\(scorings) batches, \(decodings) models decoded and freed")
    }

    private static func growth(calls: Int, _ body: () throws -> Void) throws -> Int {
        for _ in 0..<100 { try body() }
        let before = process_allocated_bytes()
        for _ in 0..<calls { try body() }
        return Int(process_allocated_bytes()) - Int(before)
    }

    static let speed = Check("speed") { subject in
        let model = try subject.fit(SampleTable.normal(10_000, columns: 10))
        let largest = subject.settings.largestBatch
        let table = SampleTable.normal(largest, columns: 10, seed: 2)
        var scores = [Double](repeating: 0, count: largest)
        var measurements: [String: Double] = [:]
        var texts: [String] = []
        for size in [1, 500, largest] {
            subject.note("scoring batches of \(size)")
            let microseconds = try table.withRows { rows in
                try scores.withUnsafeMutableBufferPointer { scores in
                    try best { first in
                        let start = (first * size) % (largest - size + 1)
                        try model.score(
                            rows[start..<start + size],
                            into: UnsafeMutableBufferPointer(rebasing: scores[..<size]))
                    } / Double(size)
                }
            }
            measurements["batch-\(size)-microseconds-per-row"] = microseconds
            texts.append("\(rounded(microseconds)) at \(size)")
        }
        return .measured("us a row: \(texts.joined(separator: ", "))", measurements)
    }

    /// Microseconds of a call: the best of rounds that together take some 100 ms.
    private static func best(_ body: (Int) throws -> Void) throws -> Double {
        let clock = ContinuousClock()
        let end = clock.now + .milliseconds(100)
        var best = Double.infinity
        var calls = 0
        var inRound = 1
        repeat {
            let start = clock.now
            for _ in 0..<inRound {
                try body(calls)
                calls += 1
            }
            let elapsed = (clock.now - start) / .microseconds(1)
            best = min(best, elapsed / Double(inRound))
            if elapsed < 500 { inRound *= 2 }
        } while clock.now < end
        return best
    }

    static let size = Check("artifact size") { subject in
        let global = try subject.fit(SampleTable.normal(10_000, columns: 10)).encode().count
        let user = try subject.fit(SampleTable.normal(500, columns: 8)).encode().count
        return .measured(
            "\(global) bytes for 10,000 rows of 10, \(user) for a user's 500 of 8",
            ["artifact-bytes": Double(global), "user-artifact-bytes": Double(user)])
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}
