import DetectorAPI
import Models

/// Fits what the request names; with `detector: auto` every candidate, of which the best on the holdout stays.
extension TrainingPipeline {
    struct Chosen {
        let candidate: Candidate
        let settings: FitSettings
        let fitted: FittedModel
        /// Of the holdout.
        let scores: HoldoutScores
        /// Empty where there was no choice.
        let table: [CandidateJudgement]
    }

    /// A candidate that cannot be fitted is noted and passed over, unless it is the only one.
    func choose(_ set: PreparedSet, _ run: Run) throws -> Chosen {
        var persistent: Set<String> = []
        if run.request.userID == nil, run.candidates.contains(where: { $0.features == .transaction }) {
            persistent = Persistence.features(of: set.training)
        }
        var judged: [Judged] = []
        var table: [CandidateJudgement] = []
        for (place, candidate) in run.candidates.enumerated() {
            var entry = CandidateJudgement(
                name: candidate.name, features: candidate.features.rawValue, measures: [:])
            guard run.candidates.count == 1 || candidate.isAllowed(by: set.training) else {
                entry.note = "too few labelled frauds"
                table.append(entry)
                continue
            }
            var settings = run.fitSettings(
                candidate, leftOut: candidate.features == .transaction ? persistent : [])
            let count = Double(run.candidates.count)
            settings.progress = { run.report(.fit, (Double(place) + $0) / count) }
            run.report(.fit, Double(place) / count)
            do {
                var fitted = try fit(set.training, names: set.names, settings)
                let scores = try HoldoutScores(fitted.model, fitted.plan, set)
                if candidate.detector.info.learnsFromReferences {
                    fitted.settle(
                        unseen: scores.scores, labels: scores.labels, training: set.training.labels,
                        contamination: run.request.contamination)
                }
                judged.append(
                    Judged(
                        place: table.count, candidate: candidate, settings: settings, fitted: fitted,
                        scores: scores)
                )
            } catch let error as DetectorError where run.candidates.count > 1 {
                entry.note = "\(error)"
            }
            table.append(entry)
        }
        guard judged.count > 1 || run.candidates.count > 1 else {
            guard let only = judged.first else { throw TrainingError.noData("there was nothing to fit") }
            return only.chosen(table: [])
        }
        return try best(judged, table, set, run)
    }

    /// What is to serve. A detector that learns from labels is fitted once more after it has been judged, on the holdout's
    /// rows too: the newest frauds tell most. Its figures, threshold and severity stay those of the one that had not seen
    /// these rows.
    func refitted(_ chosen: Chosen, _ set: PreparedSet, _ run: Run) throws -> FittedModel {
        guard chosen.candidate.detector.info.learnsFromReferences, set.holdout.count > 0 else {
            return chosen.fitted
        }
        var fitted = try fit(set.training.appending(set.holdout), names: set.names, chosen.settings)
        fitted.settle(
            unseen: chosen.scores.scores, labels: chosen.scores.labels, training: set.training.labels,
            contamination: run.request.contamination)
        return fitted
    }

    private struct Judged {
        /// In the table.
        let place: Int
        let candidate: Candidate
        let settings: FitSettings
        let fitted: FittedModel
        let scores: HoldoutScores

        func chosen(table: [CandidateJudgement]) -> Chosen {
            Chosen(
                candidate: candidate, settings: settings, fitted: fitted, scores: scores, table: table)
        }
    }

    /// What sorting by the amount would find, which is no candidate: the least that a detector should beat.
    private static func bareAmount(
        _ scores: HoldoutScores, _ set: PreparedSet, _ run: Run
    ) -> CandidateJudgement {
        func amounts(_ rows: RowTable) -> [Double] {
            (0..<rows.count).map { -Double(rows.features[$0 * RowTable.width]) }
        }
        let holdout = HoldoutScores(
            scores: amounts(set.holdout), injected: amounts(set.injected), labels: scores.labels,
            kinds: scores.kinds)
        let metrics = holdout.metrics(
            threshold: -.greatestFiniteMagnitude, contamination: run.request.contamination)
        // Nobody chose a threshold for it.
        return CandidateJudgement(
            name: "amount alone", features: "amount",
            measures: Self.measures(metrics).filter { $0.key != "alert_rate" },
            note: "for comparison")
    }

    /// Of a holdout's figures those that candidates are compared by.
    private static func measures(_ metrics: [String: Double]) -> [String: Double] {
        let names = ["average_precision", "precision_at_budget", "injected_precision", "alert_rate"]
        return metrics.filter { names.contains($0.key) || $0.key.hasPrefix("injected_precision_") }
    }

    private func best(
        _ judged: [Judged], _ table: [CandidateJudgement], _ set: PreparedSet, _ run: Run
    ) throws -> Chosen {
        let rows = judged.first?.scores.scores.count ?? 0
        let budget = max(1, Int((run.request.contamination * Double(rows)).rounded()))
        let agreements = Agreement.shares(judged.map(\.scores.scores), count: budget)
        let choice = CandidateChoice(
            entries: zip(judged, agreements).map { judged, agreement in
                .init(
                    averagePrecision: judged.scores.averagePrecision,
                    injectedPrecision: judged.scores.injectedPrecision, agreement: agreement,
                    isPreferred: judged.candidate.isPreferred, isLearner: judged.candidate.isLearner)
            }, knownFrauds: judged.first?.scores.knownFrauds ?? 0,
            defraudedUsers: judged.first?.scores.defraudedUsers)
        guard let best = choice.best else {
            let notes = table.compactMap(\.note).joined(separator: "; ")
            throw TrainingError.noData("no detector could be fitted: \(notes)")
        }
        var table = table
        for (number, (one, agreement)) in zip(judged, agreements).enumerated() {
            let metrics = one.scores.metrics(
                threshold: one.fitted.threshold, contamination: run.request.contamination)
            table[one.place].measures = Self.measures(metrics)
            table[one.place].measures["agreement"] = agreement
            table[one.place].isChosen = number == best
        }
        table.append(Self.bareAmount(judged[best].scores, set, run))
        return judged[best].chosen(table: table)
    }
}
