import BatchProtocol
import Testing

/// The same schedules over production's own window stage, blobs and partitions' records.
@Suite struct RealWindowTests {
    @Test func theWindowsOfProductionKeepTheInvariants() throws {
        let count = min(Setting.schedules / 20, 50_000)
        var totals = Totals([])
        var failures: [String] = []
        for seed in 0..<UInt64(count) {
            let simulation = Simulation(Schedule(seed: Setting.seed + seed)) { transactions, _ in
                RealWindowWorld(transactions)
            }
            let report = simulation.run()
            totals.add(report, seed: Setting.seed + seed)
            if let violation = report.violation, failures.count < 20 {
                failures.append("seed \(seed): \(violation.invariant.rawValue) \(violation.text)")
            }
        }
        print("over production's windows: " + totals.table(seconds: 0))
        #expect(totals.failures.isEmpty, "\(totals.failures.count) fail: \(failures)")
        #expect(totals.counted * 10 >= count * 4)
        #expect(totals.sum.marked > 0 && totals.sum.userMoves > 0)
    }
}
