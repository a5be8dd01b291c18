import Lake
import Models

/// Models of users who were asked for by name: whatever of that waits and wants the same days is one pass over the lake.
extension TrainingPipeline {
    /// One of several requests that are worked on together.
    public struct NamedJob: Sendable {
        let request: TrainingRequest
        let jobID: String
        let journal: any TrainingJournal
        let isCancelled: @Sendable () -> Bool
        let report: @Sendable (TrainingStage, Double) -> Void

        /// - Parameters: As of `TrainingPipeline.run`.
        public init(
            _ request: TrainingRequest, jobID: String, journal: any TrainingJournal = MemoryJournal(),
            isCancelled: @escaping @Sendable () -> Bool,
            report: @escaping @Sendable (TrainingStage, Double) -> Void
        ) {
            self.request = request
            self.jobID = jobID
            self.journal = journal
            self.isCancelled = isCancelled
            self.report = report
        }
    }

    /// Runs jobs of named users that differ in user and promotion alone, blocking the thread: the lake is read once for
    /// all of them, and each model is the one that the job would have made by itself.
    ///
    /// - Returns: For each job how it ended.
    /// - Throws: What ends all of them alike: the lake, or the folder for temporary files.
    public func runTogether(_ jobs: [NamedJob]) throws -> [Result<TrainingOutcome, any Error>] {
        var results: [Int: Result<TrainingOutcome, any Error>] = [:]
        var runs: [Int: Run] = [:]
        // Erasing a user removes the jobs that name them: one that is resumed was submitted afterwards.
        let erased = try ErasedMeanwhile(store.objects, isResumed: false)
        for (place, job) in jobs.enumerated() {
            do {
                runs[place] = Run(
                    request: job.request, jobID: job.jobID, journal: job.journal,
                    candidates: try job.request.candidates(registry), erased: erased,
                    isCancelled: job.isCancelled, report: job.report)
            } catch {
                results[place] = .failure(error)
            }
        }
        do {
            results.merge(try trainNamed(runs)) { $1 }
        } catch LakeError.cancelled {
            throw TrainingError.cancelled
        }
        return jobs.indices.map { results[$0] ?? .failure(TrainingError.cancelled) }
    }

    /// A model that is stored, and what is to be said of its making.
    private struct Made: Sendable {
        let header: ArtifactHeader
        let notes: [String]
        let reading: LakeReading?
    }

    /// - Parameter runs: By a number of the caller's, as the results are.
    func trainNamed(_ runs: [Int: Run]) throws -> [Int: Result<TrainingOutcome, any Error>] {
        var made: [Int: Result<Made, any Error>] = [:]
        var open: [Int: Run] = [:]
        for (place, run) in runs {
            let result = Result { try storedBefore(run) }
            switch result {
            case .success(nil): open[place] = run
            case .success(let header?): made[place] = .success(Made(header: header, notes: [], reading: nil))
            case .failure(let error): made[place] = .failure(error)
            }
        }
        if !open.isEmpty { made.merge(try fitNamed(open)) { $1 } }
        return promoteNamed(made, runs)
    }

    /// What an earlier attempt of the job has stored. Asking the store about everybody is for jobs that may have been here
    /// before.
    private func storedBefore(_ run: Run) throws -> ArtifactHeader? {
        guard run.journal.isResumed else { return nil }
        return try StoreStage(store: store, jobID: run.jobID).stored(run.request.tenant)
    }

    // MARK: From the lake to the store

    private func fitNamed(_ runs: [Int: Run]) throws -> [Int: Result<Made, any Error>] {
        guard let any = runs.values.first else { return [:] }
        let byUser = Dictionary(grouping: runs.keys) { runs[$0]?.request.userID ?? "" }
        let all = Array(runs.values)
        func report(_ stage: TrainingStage, _ progress: Double) {
            for run in all { run.report(stage, progress) }
        }
        report(.lake, 0)
        let scan = try historyScan(
            any.request.from...any.request.to, userIDs: Set(byUser.keys),
            asOf: any.request.asOfMilliseconds, usesReferences: try needsReferences)
        let history = try scan.run(
            isCancelled: { all.allSatisfy { $0.isCancelled() } }, progress: { report(.lake, $0) })
        report(.prepare, 0)
        let notes = try lakeNotes(history, any)
        let (names, reading) = (HistoryNames(history), history.reading)
        var made: [Int: Result<Made, any Error>] = [:]
        for part in 0..<History.partCount {
            let ofUsers = try (0..<History.pieceCount).flatMap { piece in
                try history.takePiece(piece, ofPart: part).byUser(history.labelsOfUser) {
                    byUser[names.users.id($0)] != nil
                }
            }
            for start in stride(from: 0, to: ofUsers.count, by: settings.threads) {
                let few = ofUsers[start..<min(start + settings.threads, ofUsers.count)]
                let results = try onThreads(Array(few)) { [self] user in
                    (byUser[names.users.id(user.number)] ?? []).sorted().compactMap { place in
                        runs[place].map { run in
                            (place, Result { try makeNamed(user, names, notes, reading, run) })
                        }
                    }
                }
                for (place, result) in results.joined() { made[place] = result }
            }
        }
        for (place, run) in runs where made[place] == nil {
            made[place] = .failure(
                run.isCancelled() ? TrainingError.cancelled : insufficient(run, found: 0, notes))
        }
        return made
    }

    private func makeNamed(
        _ user: HistoryPart.OfUser, _ names: HistoryNames, _ notes: [String], _ reading: LakeReading,
        _ run: Run
    ) throws -> Made {
        try run.checkCancellation()
        run.report(.prepare, 0)
        let start = run.request.from.startMilliseconds
        var span: ClosedRange<Int64>?
        for row in user.rows.rows where row.timestampMilliseconds >= start {
            let time = row.timestampMilliseconds
            span = min(span?.lowerBound ?? time, time)...max(span?.upperBound ?? time, time)
        }
        guard span != nil else { throw insufficient(run, found: 0, notes) }
        var rows = splitRows(span, capacity: settings.maximumRows, run)
        try HistoryFold(startMilliseconds: start).run(user.rows, isCancelled: run.isCancelled) {
            rows.add($0, window: $1)
        }
        let set = rows.finish(names.categories)
        guard set.training.count >= settings.minimumRows else {
            throw insufficient(run, found: set.rowCount, beforeHoldout: set.training.count, notes)
        }
        run.report(.prepare, 1)
        let chosen = try choose(set, run)
        run.report(.evaluate, 0)
        let header = try judgedHeader(chosen, chosen.fitted, set, user.known, run)
        guard try !run.erased.users().contains(header.tenant) else { throw Self.erasedMeanwhile }
        return Made(
            header: try StoreStage(store: store, jobID: run.jobID).publish(
                header, chosen.fitted.model, run.journal),
            notes: notes, reading: reading)
    }

    private static let erasedMeanwhile = TrainingError.noData(
        "the user was erased while this job ran: no model of theirs is kept")

    private func insufficient(
        _ run: Run, found rows: Int, beforeHoldout: Int = 0, _ notes: [String]
    ) -> TrainingError {
        let days = "from \(run.request.from) to \(run.request.to)"
        let user = run.request.userID ?? ""
        let what =
            rows == 0
            ? "the lake has no transactions of user \(user) \(days)"
            : "user \(user) has \(rows) transactions \(days), \(beforeHoldout) of them before the holdout; a model "
                + "needs \(settings.minimumRows) of those: widen the range"
        return .insufficientHistory(rows: rows, reason: ([what] + notes).joined(separator: "; "))
    }

    // MARK: From the store to serving

    /// Takes the version that served when this one was made out of serving, if it no longer pays.
    private func retireParent(of header: ArtifactHeader, _ run: Run) throws -> String? {
        guard let userID = header.userID, let version = header.parent,
            let retired = UsersPart.Retired(version: version, header.metrics)
        else { return nil }
        return try retire([(userID, retired)], run)
    }

    /// Promotes those that may serve by one write of each manifest they lie in; where that fails, one by one, so that each
    /// job hears of its own model.
    private func promoteNamed(
        _ made: [Int: Result<Made, any Error>], _ runs: [Int: Run]
    ) -> [Int: Result<TrainingOutcome, any Error>] {
        var (made, promoted): ([Int: Result<Made, any Error>], [Tenant: Int]) = (made, [:])
        for (place, run) in runs {
            guard case .success(let one)? = made[place], run.request.promotes(one.header) else { continue }
            run.report(.promote, 0)
            do {
                try run.journal.confirm()
            } catch {
                made[place] = .failure(error)
                continue
            }
            // Of two jobs of one user the later one stands, as if they had been run one after the other.
            promoted[one.header.tenant] = max(promoted[one.header.tenant] ?? 0, one.header.version)
        }
        var failures: [Tenant: any Error] = [:]
        do {
            try PromoteStage(promotion: promotion).run(promoted)
        } catch {
            for (tenant, version) in promoted {
                do {
                    try PromoteStage(promotion: promotion).run([tenant: version])
                } catch {
                    failures[tenant] = error
                }
            }
        }
        return runs.reduce(into: [:]) { results, entry in
            let (place, run) = entry
            results[place] = Result {
                let one = try made[place]?.get()
                guard let one else { throw TrainingError.cancelled }
                // Again, as they may have been erased while the model was stored or became active.
                let erased = try run.erased.users()
                guard !erased.contains(one.header.tenant) else {
                    try eraseAgain([one.header.tenant], erased)
                    throw Self.erasedMeanwhile
                }
                let isPromoted = run.request.promotes(one.header)
                if isPromoted, let failure = failures[one.header.tenant] { throw failure }
                let note = isPromoted ? nil : try retireParent(of: one.header, run)
                run.report(.promote, 1)
                return outcome(
                    one.header, isPromoted: isPromoted, notes: one.notes + (note.map { [$0] } ?? []),
                    one.reading)
            }
        }
    }
}
