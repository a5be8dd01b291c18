import Exact
import Features
import Foundation

/// What a version is, for somebody who has to answer for it: everything that its artifact and the catalogue know, in the
/// order in which the validation of models is asked for (SR 11-7, Board of Governors of the Federal Reserve System, 2011:
/// purpose, data, method, outcomes, monitoring, limits, change control).
public struct ModelCard: Sendable {
    private let document: ReportDocument

    public var markdown: String { document.markdown }
    public var html: String { document.html }
    /// In their order, for tests.
    var headings: [String] { document.parts.map(\.heading) }

    /// - Parameters:
    ///   - sha256: Of the whole artifact.
    ///   - changes: The tenant's, oldest first.
    ///   - ancestors: Headers of the versions it replaced, the latest first, as far as they are there.
    public init(
        _ header: ArtifactHeader, sha256: String, changes: [ModelChange], ancestors: [ArtifactHeader]
    ) {
        let facts = CardFacts(header: header, changes: changes, ancestors: ancestors)
        let whose = header.userID.map { "user \($0)" } ?? "all users"
        var document = ReportDocument(title: "Model card: \(header.tenant) v\(header.version)")
        document.add("Purpose and use", [.paragraph(facts.purpose(whose)), .paragraph(facts.use)])
        document.add("Data", [.table(header: ["what", "value"], rows: facts.data)])
        document.add("Labels", [.paragraph(facts.labels)])
        document.add(
            "Features",
            [
                .paragraph(facts.encoding),
                .table(header: ["feature", "meaning", "centre", "scale"], rows: facts.numeric),
                .table(header: ["feature", "categories", "usual"], rows: facts.categorical),
            ], missing: "The model sees none.")
        document.add(
            "Method and parameters",
            [
                .paragraph(facts.method),
                .table(header: ["parameter", "value"], rows: facts.parameters),
                .table(header: ["candidate", "features", "measures", "note"], rows: facts.candidates),
            ])
        document.add(
            "Figures on the holdout",
            [.paragraph(facts.holdout), .table(header: ["figure", "value"], rows: facts.figures)],
            missing: "None were recorded: the model was imported, or its holdout was empty.")
        document.add(
            "Holdout by decile of score",
            [
                .table(
                    header: ["decile", "rows", "known frauds", "injected frauds", "highest score"],
                    rows: facts.deciles)
            ],
            missing:
                "Not recorded: the model was made by a job for all users, imported, or made before this was kept."
        )
        document.add("Threshold and severity", [.paragraph(facts.threshold), .paragraph(facts.severity)])
        document.add(
            "Gate", [.table(header: ["check", "value", "", "limit", "passed"], rows: facts.gate)],
            missing: facts.withoutGate)
        document.add("Drift", [.paragraph(facts.drift), .list(facts.watched)])
        document.add("Limits", [.list(facts.limits)])
        document.add("Lineage", [.table(header: ["what", "value"], rows: facts.lineage(sha256))])
        document.add(
            "Changes",
            [.table(header: ["when", "from", "to", "by", "why"], rows: facts.history)],
            missing: "It has never been active.")
        self.document = document
    }
}

/// What a card says, part by part.
private struct CardFacts {
    let header: ArtifactHeader
    let changes: [ModelChange]
    let ancestors: [ArtifactHeader]

    private func number(_ value: Double) -> String { String(format: "%.4g", value) }
    private func moment(_ milliseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(milliseconds) / 1_000).ISO8601Format()
    }
    private func version(_ number: Int?) -> String { number.map { "v\($0)" } ?? "none" }

    func purpose(_ whose: String) -> String {
        "It scores transactions of \(whose) as they happen: the lower the score, the more unlike the training data. A "
            + "transaction whose score is below the threshold is an alert."
    }

    var use: String {
        let active = changes.last?.to
        let state =
            active == header.version
            ? "It is the active version." : "It is not the active version; that is \(version(active))."
        return
            "\(state) An alert says that a transaction is unusual, with reasons; it is no finding of fraud, and is meant "
            + "for a person or a rule that decides."
    }

    var data: [[String]] {
        if let source = header.source {
            return [
                ["imported from", source.file], ["SHA-256 of the file", source.sha256],
                ["written by", source.producer.isEmpty ? "the file does not say" : source.producer],
                ["training data", "not known to this service"],
            ]
        }
        var rows = [
            ["days", "\(header.trainingRange.from) to \(header.trainingRange.to), both included"],
            ["transactions", "\(header.rowCount)"],
            ["holdout", "the last part of the days by time, which the model was not fitted on"],
        ]
        if let count = header.metrics["holdout_rows"] {
            rows.append(["transactions of the holdout", number(count)])
        }
        return rows
    }

    var labels: String {
        let asOf =
            header.labelsAsOfMilliseconds.map { "Labels are those that were known at \(moment($0))." }
            ?? "Labels are all that were known when it was trained."
        let counted = [("labelled_frauds", "frauds"), ("labelled_genuine", "genuine transactions")].compactMap
        {
            name, words in header.metrics[name].map { "\(number($0)) labelled \(words)" }
        }
        return counted.isEmpty
            ? "\(asOf) How many there were was not recorded."
            : "\(asOf) There were \(counted.joined(separator: " and "))."
    }

    var encoding: String {
        let preprocessing = header.preprocessing
        return "Schema \(preprocessing.schemaVersion), scaling \(preprocessing.scaling.rawValue), categories "
            + "\(preprocessing.encoding.rawValue). What the features mean is in docs/features.md."
    }

    var numeric: [[String]] {
        let meanings = Dictionary(FeatureSchema.numeric.map { ($0.name, $0.meaning) }) { one, _ in one }
        return header.preprocessing.numeric.map {
            [$0.feature, meanings[$0.feature] ?? "of an earlier schema", number($0.centre), number($0.scale)]
        }
    }

    var categorical: [[String]] {
        header.preprocessing.categorical.map { ["\($0.feature)", "\($0.categories.count)", $0.usual] }
    }

    var method: String {
        "Detector \(header.detectorID) \(header.detectorVersion), seed \(header.seed): the same data, parameters and seed "
            + "give the same model."
    }

    var parameters: [[String]] {
        header.parameters.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
    }

    var candidates: [[String]] {
        header.candidates.map { candidate in
            let measures = candidate.measures.sorted { $0.key < $1.key }.map {
                "\($0.key) \(number($0.value))"
            }
            return [
                (candidate.isChosen ? "chosen: " : "") + candidate.name, candidate.features,
                measures.joined(separator: ", "), candidate.note ?? "",
            ]
        }
    }

    var holdout: String {
        header.metrics.isEmpty
            ? ""
            : "docs/outcomes.md says what each figure is. Injected frauds are made from real transactions."
    }

    var figures: [[String]] {
        header.metrics.sorted { $0.key < $1.key }.map { [$0.key, number($0.value)] }
    }

    var deciles: [[String]] {
        header.deciles.enumerated().map { place, decile in
            [
                place == 0 ? "1, the most unusual" : "\(place + 1)", "\(decile.rows)", "\(decile.frauds)",
                "\(decile.injected)", number(decile.highestScore),
            ]
        }
    }

    var threshold: String {
        let uncapped = header.uncappedThreshold.map {
            " It was \(number($0)) until the flood guard lowered it."
        }
        return
            "Scores below \(number(header.threshold)) are alerts, chosen for a share of \(number(header.contamination)) of "
            + "the training transactions.\(uncapped ?? "")"
    }

    var severity: String {
        guard let table = header.severity else {
            return "How severe a score is was not recorded: verdicts of this version have no severity."
        }
        let least = SeverityScale(table).severity(of: header.threshold)
        return
            "Alerts have a severity of \(number(least)) to 1, by the spread of \(table.rows) training scores."
    }

    var gate: [[String]] {
        header.gate.map { check in
            [
                check.name, number(check.value), check.bound.rawValue, number(check.limit),
                check.isPassed ? "yes" : "no",
            ]
        }
    }

    var withoutGate: String {
        header.userID == nil
            ? "It was not asked: the model was imported, or made before there was a gate."
            : header.metrics["earned"] == 1
                ? "A user's model has to beat the global one on the user's own holdout instead, and it did."
                : "A user's model has to beat the global one on the user's own holdout instead, and it did not."
    }

    var drift: String {
        let shift = header.metrics["score_shift"].map {
            "From training to holdout scores had moved by a population stability index of \(number($0)). "
        }
        return (shift ?? "")
            + "GET /v1/models/v\(header.version)/drift tells how alerts, scores and features have moved since."
    }

    var watched: [String] {
        guard let profile = header.profile else {
            return ["Features cannot be compared: the version keeps no profile of its training data."]
        }
        return ["\(profile.features.count) features and the scores are compared with those of training"]
    }

    var limits: [String] {
        var limits = [
            "It knows what was usual in its training days: what has changed since is unusual to it, and what was usual then "
                + "is not found, fraud or not.",
            "A user's first transactions are scored from a window with little in it; verdicts are marked `cold`.",
        ]
        if (header.metrics["labelled_frauds"] ?? header.metrics["holdout_anomalies"] ?? 0) == 0 {
            limits.append("It was judged by injected frauds alone: how many real ones it finds is not known.")
        }
        if let rows = header.metrics["holdout_rows"], rows < 1_000 {
            limits.append("Its holdout has \(number(rows)) transactions: the figures are rough.")
        }
        if let stability = header.metrics["score_stability"], stability < 0.9 {
            limits.append(
                "With another seed the ranking of alerts differs (rank correlation \(number(stability))): more trees or rows "
                    + "are needed.")
        }
        if header.source != nil {
            limits.append("It was imported: training data and fitting are not known here.")
        }
        for check in header.gate where !check.isPassed {
            limits.append("It did not pass the gate's check \(check.name).")
        }
        return limits
    }

    func lineage(_ sha256: String) -> [[String]] {
        var rows = [
            ["version", "\(header.tenant) v\(header.version)"], ["SHA-256 of the artifact", sha256],
            ["SHA-256 of the payload", header.payloadSHA256],
            ["made", moment(header.createdMilliseconds)],
            ["training job", header.jobID ?? "none: imported, or changed by the flood guard"],
            ["SHA-256 of the detector", header.detectorSHA256 ?? "linked into its host"],
            ["parent", version(header.parent)],
        ]
        for ancestor in ancestors {
            rows.append([
                "v\(ancestor.version)",
                "\(ancestor.detectorID), \(ancestor.trainingRange.from) to \(ancestor.trainingRange.to), job "
                    + "\(ancestor.jobID ?? "none"), parent \(version(ancestor.parent))",
            ])
        }
        return rows
    }

    var history: [[String]] {
        changes.filter { $0.to == header.version || $0.from == header.version }.map {
            [moment($0.timeMilliseconds), version($0.from), version($0.to), $0.by, $0.reason]
        }
    }
}

extension Promotion {
    /// The card of a version; nil when there is no such version.
    public func card(of tenant: Tenant, version: Int) throws -> ModelCard? {
        guard let bytes = try store.bytes(of: tenant, version: version) else { return nil }
        let header = try store.open(bytes).artifact.header
        var ancestors: [ArtifactHeader] = []
        var parent = header.parent
        while let number = parent, ancestors.count < Self.maximumAncestors,
            number != version, !ancestors.contains(where: { $0.version == number }),
            let ancestor = try store.header(of: tenant, version: number)
        {
            ancestors.append(ancestor)
            parent = ancestor.parent
        }
        return ModelCard(
            header, sha256: "\(ArtifactHash(of: bytes.bytes))", changes: try catalogue.changes(of: tenant),
            ancestors: ancestors)
    }

    private static let maximumAncestors = 20
}
