import BatchProtocol
import Testing

/// The protocol over simulated broker, store and processes: whatever befalls whom when, the invariants hold.
///
/// `scripts/simulate` runs more schedules, from another seed.
@Suite struct SimulationTests {
    @Test func whateverBefallsTheInvariantsHold() async throws {
        let count = Setting.schedules
        let start = ContinuousClock.now
        let totals = await withTaskGroup(of: Totals.self) { group in
            let share = (count + Setting.threads - 1) / Setting.threads
            for thread in 0..<Setting.threads {
                let seeds = UInt64(thread * share)..<UInt64(min((thread + 1) * share, count))
                group.addTask { Totals(seeds.map { Setting.seed + $0 }) }
            }
            return await group.reduce(Totals([])) { $0.adding($1) }
        }
        print(totals.table(seconds: (ContinuousClock.now - start) / .seconds(1)))
        if let seed = totals.failures.min() {
            let (schedule, report) = shrunk(Schedule(seed: seed))
            let violation = try #require(report.violation)
            Issue.record(
                """
                \(totals.failures.count) of \(count) schedules fail. The shortest that was found, of seed \(seed):
                \(schedule)
                \(violation.invariant.rawValue) at \(violation.time): \(violation.text)
                """)
        }
        // Schedules that met nobody, lost nothing or moved nothing show nothing: they do not count.
        #expect(totals.counted * 10 >= count * 4, "too few schedules count: \(totals.counted) of \(count)")
        #expect(totals.sum.compared > count * 10 && totals.sum.conflicts > count / 20)
        #expect(totals.sum.marked > 0 && totals.sum.userMoves > 0 && totals.sum.forgotten > 0)
    }

    @Test func aScheduleGivesTheSameRunAgain() {
        for seed in 1...50 as ClosedRange<UInt64> {
            let first = Simulation(Schedule(seed: seed)).run()
            let second = Simulation(Schedule(seed: seed)).run()
            #expect(first.ticks == second.ticks && first.verdicts == second.verdicts, "seed \(seed)")
        }
    }

    @Test func aFailureIsShrunkToWhatItNeeds() throws {
        let breakage = Breakage.skipCompare
        let seed = try #require(
            (1...2_000).first { Simulation(Schedule(seed: $0), breakage: breakage).run().violation != nil })
        let (schedule, report) = shrunk(Schedule(seed: seed), breakage: breakage)
        #expect(report.violation != nil)
        #expect(schedule.faults.count < Schedule(seed: seed).faults.count)
        #expect(Simulation(schedule).run().violation == nil, "the schedule fails by the breakage alone")
    }
}

/// What many runs have shown together.
struct Totals: Sendable {
    var schedules = 0
    var counted = 0
    var sum = SimulationReport()
    var failures: [UInt64] = []

    init(_ seeds: [UInt64]) {
        for seed in seeds { add(Simulation(Schedule(seed: seed)).run(), seed: seed) }
    }

    mutating func add(_ report: SimulationReport, seed: UInt64) {
        schedules += 1
        if report.counts { counted += 1 }
        if report.violation != nil { failures.append(seed) }
        sum.add(report)
    }

    func adding(_ other: Totals) -> Totals {
        var totals = self
        totals.schedules += other.schedules
        totals.counted += other.counted
        totals.failures += other.failures
        totals.sum.add(other.sum)
        return totals
    }

    func table(seconds: Double) -> String {
        """
        \(schedules) schedules in \(Int(seconds.rounded())) s, of which \(counted) count (committed, met another writer, \
        lost and moved something)
            verdicts committed           \(sum.verdicts)
            compared bit for bit         \(sum.compared)
            marked, not compared         \(sum.marked)
            of users who moved           \(sum.userMoves)
            writes met by a conflict     \(sum.conflicts)
            workers refused or fenced    \(sum.refusals)
            batches given up             \(sum.abandoned)
            answers or requests lost     \(sum.lostAnswers)
            processes killed             \(sum.kills)
            partitions moved             \(sum.moves)
            times the store forgot       \(sum.forgotten)
        """
    }
}
