/// Since when the frauds of one merchant have been reported, without a long pause. A function of the frauds alone, in
/// whatever order they come.
struct FraudRun: Sendable, Equatable {
    /// Frauds further apart, hours, are of two runs.
    static let pauseSteps: Int64 = 10 * 24
    /// Hours that are told at most: training knows no more of the past.
    static let greatestAge: Int64 = 90 * 24

    /// Hours in which frauds became known, ascending; one for each fraud.
    private var steps: [Int64] = []
    /// Of the latest run, its first hour; nil: there is no fraud.
    private(set) var start: Int64?

    init() {}

    init(_ steps: [Int64]) {
        self.steps = steps.sorted()
        findStart()
    }

    mutating func add(_ step: Int64) {
        guard let last = steps.last, step < last else {
            if steps.last.map({ step - $0 > Self.pauseSteps }) ?? true { start = step }
            steps.append(step)
            return
        }
        steps.insert(step, at: steps.firstIndex { $0 > step } ?? steps.endIndex)
        findStart()
    }

    mutating func remove(_ step: Int64) {
        guard let index = steps.firstIndex(of: step) else { return }
        steps.remove(at: index)
        findStart()
    }

    private mutating func findStart() {
        start = steps.last
        for step in steps.reversed() {
            guard let first = start, first - step <= Self.pauseSteps else { break }
            start = step
        }
    }

    /// Hours from the run's first fraud to a boundary; nil: there is none.
    func age(at boundary: Int64) -> Int64? { start.map { min(boundary - $0, Self.greatestAge) } }
}
