import BatchProtocol

/// The shortest schedule that still fails: faults are taken away, then records, users, workers, as long as some
/// violation remains.
func shrunk(_ schedule: Schedule, breakage: Breakage? = nil) -> (Schedule, SimulationReport) {
    var best = schedule
    var report = Simulation(schedule, breakage: breakage).run()
    func keeps(_ candidate: Schedule) -> Bool {
        let run = Simulation(candidate, breakage: breakage).run()
        guard run.violation != nil else { return false }
        best = candidate
        report = run
        return true
    }
    var isSmaller = true
    while isSmaller {
        isSmaller = false
        for index in best.faults.indices.reversed() {
            var candidate = best
            candidate.faults.remove(at: index)
            isSmaller = keeps(candidate) || isSmaller
        }
        for part in [\Schedule.records, \.users, \.partitions] where best[keyPath: part] > 1 {
            for less in [best[keyPath: part] / 2, best[keyPath: part] - 1] where less > 0 {
                var candidate = best
                candidate[keyPath: part] = less
                if keeps(candidate) {
                    isSmaller = true
                    break
                }
            }
        }
    }
    return (best, report)
}
