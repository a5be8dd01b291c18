import ArgumentParser
import Features
import Foundation
import Lake
import Models
import Training

struct Train: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model from the lake: the global one, one user's, or everybody's.",
        discussion: """
            EXAMPLE
              ml-service train --lake demo/lake --from 2026-01-01 --to 2026-02-14 --promote
              ml-service train --lake demo/lake --from 2026-01-01 --to 2026-02-14 --all-users --promote
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Where the lake is (lake.uri).")
    var lake: String?

    @Option(help: "A file of the lake that cannot be read: fail, or skip and name it (lake.onbadfile).")
    var onBadFile: BadFiles?

    @Option(help: "Where the models go (store.uri).")
    var store: String?

    @Option(help: "First day, 2026-01-31.")
    var from: String

    @Option(help: "Last day, included.")
    var to: String

    @Option(help: "This user's model in place of the global one.")
    var user: String?

    @Flag(help: "A model for every user with enough history.")
    var allUsers = false

    @Option(help: "Which detector; auto: the best on the holdout of all that the data allow.")
    var detector = TrainingRequest.defaultDetector

    @Option(
        name: .customLong("parameter"),
        help: ArgumentHelp("One of the detector's parameters; may be repeated.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(help: "The share of alerts that the threshold is chosen for.")
    var contamination = 0.01

    @Option(
        help: ArgumentHelp(
            "What categories become: one-hot columns, or native codes for a detector that splits them itself.",
            discussion: "Default: native for a detector that can, else one-hot."))
    var encoding: Preprocessing.Encoding?

    @Option(
        help:
            "Learn and judge by the labels known at this moment, 2026-02-15 or 2026-02-15T06:00:00Z; default: all."
    )
    var asOf: String?

    @Option(
        help: ArgumentHelp(
            "A feature that the model does not get, or references for all of tables; may be repeated.",
            valueName: "feature"))
    var leaveOut: [String] = []

    @Option(help: "Seed of all randomness.")
    var seed: UInt64 = 0

    @Option(
        help: ArgumentHelp(
            "Who lets it serve: gated (no worse than the active version, within its alert budget), manual or auto.",
            discussion: "A user's model has to beat the global one in any case."))
    var promotion: TrainingRequest.Promotion?

    @Flag(help: "Make it the active version if the gate lets it through; the default.")
    var promote = false

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    func run() async throws {
        let promotion = try Self.promotion(promotion, promote: promote)
        let settings = try await common.settings(["store.uri": store, "lake.onbadfile": onBadFile?.rawValue])
        let request = TrainingRequest(
            userID: user, allUsers: allUsers, from: try day(from, "--from"), to: try day(to, "--to"),
            detectorID: detector, parameters: try assignments(parameters, option: "--parameter"), seed: seed,
            contamination: contamination, encoding: encoding,
            asOfMilliseconds: try asOf.map { try parseMoment($0, option: "--as-of") },
            leftOut: leaveOut.isEmpty ? nil : leaveOut, promotion: promotion)
        let display = ProgressDisplay()
        let lake = lake
        let outcome = try await blocking {
            let parts = try Parts(settings)
            try request.check(parts.registry)
            _ = try parts.promotion.start(logger: parts.logger)
            return try parts.pipeline(lakeURI: lake).run(
                request, jobID: UUID().uuidString.lowercased(), isCancelled: { false },
                report: { display.show(stage: $0.rawValue, fraction: $1) })
        }
        display.finish()
        if json {
            try printJSON(outcome)
        } else {
            describe(outcome)
        }
    }

    static func promotion(
        _ promotion: TrainingRequest.Promotion?, promote: Bool
    ) throws -> TrainingRequest.Promotion {
        guard !promote || promotion != .manual else {
            throw UsageError("--promote contradicts --promotion manual; leave one of them out")
        }
        return promotion ?? .gated
    }

    private func describe(_ outcome: TrainingOutcome) {
        let promoted = outcome.models.count { $0.isPromoted }
        if outcome.models.count == 1, let model = outcome.models.first {
            print("\(model.tenant) v\(model.version)\(model.isPromoted ? ", active" : ", a candidate")")
        } else {
            print("\(outcome.models.count) models, \(promoted) active")
        }
        for (name, value) in outcome.metrics.sorted(by: { $0.key < $1.key }) {
            print("  \(name) \(String(format: "%.4g", value))")
        }
        if let reading = outcome.reading {
            print("  read \(reading.bytes) bytes of \(reading.files) files in \(reading.requests) requests")
        }
        for note in outcome.notes ?? [] { print("  \(note)") }
        if let candidates = outcome.candidates { print("\n" + Self.table(of: candidates)) }
        if let gate = outcome.gate {
            let rows = gate.map { check in
                [
                    check.name, String(format: "%.4g", check.value), check.bound.rawValue,
                    String(format: "%.4g", check.limit), check.isPassed ? "passed" : "NOT PASSED",
                ]
            }
            print("\n" + textTable(["gate", "value", "", "limit", ""], rows))
        }
    }

    private static func table(of candidates: [CandidateJudgement]) -> String {
        let measures = [
            "average_precision", "precision_at_budget", "injected_precision", "agreement", "alert_rate",
        ]
        let rows = candidates.map { candidate in
            [(candidate.isChosen ? "* " : "  ") + candidate.name, candidate.features]
                + measures.map { candidate.measures[$0].map { String(format: "%.4f", $0) } ?? "" }
                + [candidate.note ?? ""]
        }
        return textTable(
            ["candidate", "features"] + measures.map { $0.replacing("_", with: " ") } + [""], rows)
    }

    private func day(_ text: String, _ option: String) throws -> LakeDay {
        guard let day = LakeDay(parsing: text) else {
            throw UsageError("\(option) is no day: '\(text)'; write 2026-01-31")
        }
        return day
    }
}

/// `name=value` pairs of an option that may be repeated.
func assignments(_ pairs: [String], option: String) throws -> [String: String] {
    var values: [String: String] = [:]
    for pair in pairs {
        let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw UsageError("\(option) takes name=value, not '\(pair)'")
        }
        values[String(parts[0])] = String(parts[1])
    }
    return values
}

extension Preprocessing.Encoding: ExpressibleByArgument {}
extension TrainingRequest.Promotion: ExpressibleByArgument {}
extension BadFiles: ExpressibleByArgument {}
