import Models

/// A model for every user with enough history: one pass over the lake, then part by part, user by user.
extension TrainingPipeline {
    func trainUsers(_ run: Run) throws -> TrainingOutcome {
        guard try router.globalModel() != nil else {
            throw TrainingError.noData(
                "users' models are judged against the global one: train and promote that first")
        }
        // Parts of before were parts of other users.
        var parts = try run.journal.finishedParts().filter {
            $0.value.division == UsersPart.currentDivision
        }
        var rowCount = 0
        var known: [String: Double] = [:]
        var notes: [String] = []
        var reading: LakeReading?
        if parts.count < History.partCount {
            if let sharing = run.journal.sharing, try !sharing.join(basis: try basis(of: run.request)) {
                throw TrainingError.cancelled
            }
            let history = try scan(run)
            rowCount = history.rowCount
            known = history.known.metrics
            notes = try lakeNotes(history, run)
            reading = history.reading
            try trainParts(history, &parts, run)
        }
        try run.journal.confirm()
        var outcome = try promote(
            parts.sorted { $0.key < $1.key }.map(\.value), rowCount: rowCount, run)
        outcome.metrics.merge(known) { $1 }
        notes += outcome.notes ?? []
        outcome.notes = notes.isEmpty ? nil : notes
        outcome.reading = reading
        return outcome
    }

    func trainPart(
        _ number: Int, _ history: History, _ names: HistoryNames, _ run: Run
    ) throws -> UsersPart {
        var result = UsersPart()
        var packing = try PackStage(
            store: store, shard: Tenant.shards[number], jobID: run.jobID, createdMilliseconds: now(),
            erased: run.erased)
        let fitting = run.fitSettings(run.candidates[0])
        var split = splitRows(names.span, capacity: settings.maximumUserRows, run)
        let changedSince = run.request.changedSince?.startMilliseconds
        var newRows = 0
        let fold = HistoryFold(startMilliseconds: run.request.from.startMilliseconds)
        for piece in 0..<History.pieceCount {
            try fold.run(
                try history.takePiece(piece, ofPart: number), isCancelled: run.isCancelled,
                visit: {
                    split.add($0, window: $1)
                    if let changedSince, $0.row.timestampMilliseconds >= changedSince { newRows += 1 }
                },
                endUser: { user in
                    result.users += 1
                    let isChanged = changedSince == nil || newRows >= settings.minimumNewRows
                    newRows = 0
                    if isChanged, split.rowCount >= settings.minimumUserRows,
                        split.training.seen >= settings.minimumUserRows / 2
                    {
                        let set = split.finish(names.categories)
                        try trainUser(names.users.id(user), set, fitting, &packing, &result.ranking, run)
                    }
                    split.removeAll()
                })
        }
        result.models = try packing.finish()
        return result
    }

    private func trainUser(
        _ userID: String, _ set: PreparedSet, _ fitting: FitSettings, _ packing: inout PackStage,
        _ ranking: inout UsersRanking, _ run: Run
    ) throws {
        try run.checkCancellation()
        let fitted = try fit(set.training, names: set.names, fitting)
        let own = try HoldoutScores(fitted.model, fitted.plan, set)
        let comparison = try earned(own, fitted, set, run)
        let isEarned = comparison.metrics[Self.earned] == 1
        let standing = try standing(userID, set, global: comparison.global, run)
        var metrics = own.metrics(threshold: fitted.threshold, contamination: run.request.contamination)
        metrics.merge(comparison.metrics) { $1 }
        if let standing { metrics.merge(standing.metrics) { $1 } }
        let header = header(run.candidates[0], fitted, set, userID: userID, metrics: metrics, run)
        do {
            try packing.add(header, fitted.model, isEarned: isEarned, retired: standing?.retired)
        } catch let error as ArtifactError {
            // The others' models are worth having without it.
            router.logger.warning(
                "a user's model is not stored", metadata: ["user": "\(userID)", "reason": "\(error)"])
            return
        }
        if let global = try router.globalModel(), let theirs = comparison.global {
            ranking.add(
                own: own, threshold: fitted.threshold, header.severity.map(SeverityScale.init),
                global: theirs, global,
                isEarned: isEarned,
                isEarnedCrosswise: earnedCrosswise(own, theirs, threshold: fitted.threshold, run),
                kept: standing.flatMap { $0.retired == nil ? $0 : nil })
        }
    }

    /// For each row of a user's holdout whether the half that it is not in would have chosen the model.
    private func earnedCrosswise(
        _ own: HoldoutScores, _ global: HoldoutScores, threshold: Double, _ run: Run
    ) -> [Bool]? {
        guard let halves = own.halves else { return nil }
        func isEarned(_ rows: ArraySlice<Int>) -> Bool {
            EarnedComparison(
                own: own.part(rows), global: global.part(rows), threshold: threshold,
                contamination: run.request.contamination, margin: settings.earnedMargin)?.isEarned ?? false
        }
        var isEarnedCrosswise = [Bool](repeating: isEarned(halves.earlier), count: own.scores.count)
        let byLater = isEarned(halves.later)
        for row in halves.earlier { isEarnedCrosswise[row] = byLater }
        return isEarnedCrosswise
    }

    private func promote(_ all: [UsersPart], rowCount: Int, _ run: Run) throws -> TrainingOutcome {
        run.report(.promote, 0)
        let parts = all.without(try run.erased.users())
        var ranking = UsersRanking()
        for part in parts { ranking.merge(part.ranking) }
        // Each alone beat the global model; all of them together have to as well, in the one list that people work off.
        let isBetter = run.request.promotion == .auto || ranking.isEarnedBetter
        let promotes = run.request.promote && isBetter
        let stage = PromoteStage(promotion: promotion)
        var retired: [(userID: String, UsersPart.Retired)] = []
        // Those that the answer names.
        var listed: [TrainingOutcome.Model] = []
        var (trained, earned) = (0, 0)
        // Part by part, which are the catalogue's shards: what a promotion makes of a user's model is several times what
        // is kept of it here, and is needed until the shard is written.
        for part in parts {
            let promoted = promotes ? part.models.filter(\.isEarned) : []
            try stage.run(
                Dictionary(promoted.map { (.user($0.userID), $0.version) }) { $1 },
                places: Dictionary(
                    promoted.compactMap { model in model.place.map { (.user(model.userID), $0) } }
                ) { $1 }, overtakes: true)
            trained += part.models.count
            earned += part.models.count(where: \.isEarned)
            for model in part.models where !(promotes && model.isEarned) {
                if let lost = model.retired { retired.append((model.userID, lost)) }
            }
            listed += part.models.map {
                TrainingOutcome.Model(
                    tenant: $0.userID, version: $0.version, isPromoted: promotes && $0.isEarned)
            }
            if listed.count > 4 * TrainingOutcome.maximumModels { listed = Self.named(listed) }
        }
        // Again, as somebody may have been erased while a model of theirs was stored or became active.
        let erased = try run.erased.users()
        try eraseAgain(all.lazy.flatMap(\.models).map { .user($0.userID) }, erased)
        listed.removeAll { erased.contains(.user($0.tenant)) }
        retired.removeAll { erased.contains(.user($0.userID)) }
        let note = try retire(retired, run)
        run.report(.promote, 1)
        return TrainingOutcome(
            models: Self.named(listed),
            metrics: [
                "users": Double(parts.reduce(0) { $0 + $1.users }), "users_trained": Double(trained),
                "users_earned": Double(earned), "users_promoted": Double(promotes ? earned : 0),
                "users_retired": Double(run.request.promote ? retired.count : 0),
                "rows": Double(rowCount), "users_set_passed": ranking.isEarnedBetter ? 1 : 0,
            ].merging(ranking.metrics) { $1 }, notes: note.map { [$0] } ?? [])
    }

    /// Removes what a job has made of users who were erased meanwhile, and everything else of theirs.
    func eraseAgain(_ made: some Sequence<Tenant>, _ erased: Set<Tenant>) throws {
        for tenant in made where erased.contains(tenant) { _ = try promotion.erase(tenant) }
    }

    /// The models that an answer names, promoted ones first.
    private static func named(_ models: [TrainingOutcome.Model]) -> [TrainingOutcome.Model] {
        let sorted = models.sorted {
            ($0.isPromoted ? 0 : 1, $0.tenant) < ($1.isPromoted ? 0 : 1, $1.tenant)
        }
        return Array(sorted.prefix(TrainingOutcome.maximumModels))
    }
}

extension [UsersPart] {
    fileprivate func without(_ users: Set<Tenant>) -> Self {
        map { part in
            var part = part
            part.models.removeAll { users.contains(.user($0.userID)) }
            return part
        }
    }
}
