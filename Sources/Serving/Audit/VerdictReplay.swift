import DetectorAPI
import Features
import Models
import Outcomes
import Rules
import Transactions

/// Makes recorded verdicts again from the stream, each by the model, the reference table and the rules that it names,
/// whatever is active today.
///
/// Windows begin empty, or with what happened before the stream, and every record of it is folded, so that both must be all
/// that the verdict's windows were made of. The same bytes come out whatever the size of the batches.
public struct VerdictReplay {
    public struct Outcome: Sendable {
        public var transactions = 0
        /// Verdicts that were made again.
        public var recomputed = 0
        /// Of those, how many have the same bytes, but for `source`, which is the place in the stream that was read.
        public var same = 0
        /// Recorded verdicts whose transaction the stream does not have.
        public var missing = 0
        /// The first that differs: as it was recorded, and as it is now.
        public var firstDifference: (recorded: [UInt8], recomputed: [UInt8])?
    }

    private let router: ModelRouter
    private let store: ModelStore
    private let open: @Sendable (ArtifactBytes) throws -> ReadyModel
    private let references: ReferenceStore
    private let rules: RuleStore
    private let settings: ScoringWorker.Settings

    /// - Parameter open: Makes a model of an artifact.
    public init(
        router: ModelRouter, store: ModelStore, references: ReferenceStore, rules: RuleStore,
        settings: ScoringWorker.Settings, open: @escaping @Sendable (ArtifactBytes) throws -> ReadyModel
    ) {
        self.router = router
        self.store = store
        self.open = open
        self.references = references
        self.rules = rules
        self.settings = settings
    }

    /// Reads the stream until every recorded verdict is made again, or it ends. What is made is delivered to it.
    ///
    /// - Parameter history: What happened before the stream; nil: windows begin empty.
    /// - Throws: `ModelLoadError` for a model that the store does not have any more, `ReferenceError` for such a table,
    ///   `RuleError` for such rules.
    public func run(
        _ stream: any TransactionStream, _ recorded: RecordedVerdicts, after history: WindowHistory? = nil
    ) throws -> Outcome {
        var recorded = recorded
        var outcome = Outcome()
        var models = RecordedModels(store: store, open: open)
        var tables = RecordedReferences(store: references, settings: settings)
        var ruleSets = RecordedRules(store: rules)
        let windows = MemoryWindowStore()
        let stage = WindowStage(store: windows, writer: 1, settings: settings.windows)
        let consume = ConsumeStage()
        let deliver = DeliverStage(stream: stream, windows: windows)
        while recorded.count > 0 {
            guard let records = try stream.next(settings.limits) else {
                if stream.isFinished { break }
                continue
            }
            let batch = try consume.run(records)
            try history?.precede(batch, in: windows)
            let windowed = try stage.run(batch)
            let chosen = take(batch, from: &recorded)
            let made = try make(windowed, chosen, &models, &tables, &ruleSets)
            compare(made, chosen, &outcome)
            outcome.transactions += batch.count
            let delivery = Delivery(
                verdicts: made, deadLetters: batch.deadLetters, slices: batch.slices,
                assignment: batch.assignment)
            guard try deliver.run(delivery, writing: windowed.writes) else {
                throw RecordedVerdictError("the stream did not take what was made again")
            }
        }
        outcome.missing = recorded.count
        return outcome
    }

    /// The chosen verdicts again, in the order of their rows.
    private func make(
        _ windowed: WindowedBatch, _ chosen: [(row: Int, verdict: RecordedVerdict)],
        _ models: inout RecordedModels, _ tables: inout RecordedReferences, _ ruleSets: inout RecordedRules
    ) throws -> OutputRecords {
        var made = MergedRecords()
        for (reference, ofTable) in Dictionary(grouping: chosen, by: \.verdict.reference) {
            // Each table fills in the features anew.
            let routed = try route(windowed, ofTable, &models)
                .referring(to: try reference.map { try tables.table($0) }, global: nil)
            let scored = try ScoreStage(router: router, reasonCount: settings.reasonCount).run(routed)
            for (rules, ofRules) in Dictionary(grouping: ofTable, by: \.verdict.rules) {
                let ruled = RuleStage.run(scored, by: try rules.map { try ruleSets.set($0) })
                let rows = ofRules.map(\.row)
                made.add(verdicts(ruled, publish: .all, rows: rows), rows: rows)
            }
        }
        return made.sorted()
    }

    private func take(
        _ batch: ConsumedBatch, from recorded: inout RecordedVerdicts
    ) -> [(row: Int, verdict: RecordedVerdict)] {
        (0..<batch.count).compactMap { row in
            let transactions = batch.transactions
            return recorded.take(
                transactionID: transactions.text(.transactionID, row) ?? "",
                userID: transactions.text(.userID, row) ?? ""
            ).map { (row, $0) }
        }
    }

    private func route(
        _ windowed: WindowedBatch, _ chosen: [(row: Int, verdict: RecordedVerdict)],
        _ models: inout RecordedModels
    ) throws -> RoutedBatch {
        struct Choice: Hashable {
            let sha256: String
            let fallback: FallbackReason?
        }
        var groups: [RouteGroup] = []
        var groupOf: [Choice: Int] = [:]
        for (row, verdict) in chosen {
            let choice = Choice(sha256: verdict.sha256, fallback: verdict.fallback)
            let group = groupOf[choice] ?? groups.count
            if group == groups.count {
                groups.append(
                    RouteGroup(model: try models.model(of: verdict), fallback: verdict.fallback, rows: []))
                groupOf[choice] = group
            }
            groups[group].rows.append(Int32(row))
        }
        return RoutedBatch(windowed: windowed, groups: groups)
    }

    private func compare(
        _ made: OutputRecords, _ chosen: [(row: Int, verdict: RecordedVerdict)], _ outcome: inout Outcome
    ) {
        var index = 0
        made.visit { _, _, payload in
            let recorded = chosen[index].verdict.json
            index += 1
            outcome.recomputed += 1
            if RecordedVerdict.withoutSource(recorded) == RecordedVerdict.withoutSource(Array(payload)) {
                outcome.same += 1
            } else if outcome.firstDifference == nil {
                outcome.firstDifference = (recorded, Array(payload))
            }
        }
    }
}
