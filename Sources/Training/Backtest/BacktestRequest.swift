import Lake

/// Which versions of the global model a job compares; the days and the moment whose labels count are the job's.
public struct BacktestRequest: Codable, Sendable, Hashable {
    /// The candidate.
    public var version: Int
    /// nil: the version that serves when the job runs.
    public var against: Int?
    /// What looking at an alert costs, in the amounts' unit. 0 or more.
    public var alertCost: Double

    public init(version: Int, against: Int? = nil, alertCost: Double = 0) {
        self.version = version
        self.against = against
        self.alertCost = alertCost
    }
}

extension TrainingRequest {
    /// A job that makes no model: it shows what would change if a candidate served.
    public init(_ backtest: BacktestRequest, from: LakeDay, to: LakeDay, asOfMilliseconds: Int64? = nil) {
        self.init(from: from, to: to, asOfMilliseconds: asOfMilliseconds, promotion: .manual)
        self.backtest = backtest
    }
}

extension TrainingPipeline {
    func compare(
        _ backtest: BacktestRequest, _ request: TrainingRequest,
        isCancelled: @escaping @Sendable () -> Bool,
        report: (TrainingStage, Double) -> Void
    ) throws -> TrainingOutcome {
        let comparison = try compare(
            candidate: backtest.version, active: backtest.against, from: request.from, to: request.to,
            asOf: request.asOfMilliseconds, alertCost: backtest.alertCost, isCancelled: isCancelled,
            progress: { report(.evaluate, $0) })
        var outcome = TrainingOutcome(models: [], metrics: [:], detector: comparison.candidate.detector)
        outcome.backtest = comparison
        return outcome
    }
}

extension BacktestComparison {
    /// Takes a user's transactions out of those that are shown. The figures keep them: they name nobody.
    ///
    /// - Returns: Whether there were any.
    mutating func erase(userID: String) -> Bool {
        let before = new.count + dropped.count
        new.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
        dropped.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
        return new.count + dropped.count < before
    }
}
