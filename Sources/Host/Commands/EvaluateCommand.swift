import ArgumentParser
import Foundation
import Training

struct Evaluate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Judge a detector on a labelled table.",
        discussion: """
            The detector is fitted once a seed, without the labels, and judged on the rows that it was fitted on, as
            benchmarks of unsupervised detectors do. With --split-by-time it is fitted on the earlier rows and judged on
            the later ones; with --learn-labels, which boosted-trees needs, it learns from the labels of the earlier ones.
            Columns that hold something else than numbers are left out and named.

            EXAMPLE
              ml-service evaluate --detector isolation-forest --table table.csv --label is_fraud --seeds 10
              ml-service evaluate --detector zscore-baseline --table t.parquet --label y --set combine=largest --json
              ml-service evaluate --detector isolation-forest --table t.parquet --label is_fraud \\
                  --split-by-time timestamp --holdout 0.3
            """)

    @Option(help: "Which detector.")
    var detector: String

    @Option(help: "CSV with a header, or Parquet.")
    var table: String

    @Option(help: "The column that is not 0, or true, for anomalies.")
    var label: String

    @Option(help: "How many seeds, from 0.")
    var seeds = 5

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("One of the detector's parameters; may be repeated.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(
        help: ArgumentHelp(
            "Fit on the earlier rows, judge on the later ones, by this column: numbers, timestamps or RFC 3339.",
            valueName: "column"))
    var splitByTime: String?

    @Option(
        help: ArgumentHelp("The share of the rows that judges; with --split-by-time.", valueName: "share"))
    var holdout: Double?

    @Flag(help: "Let the detector learn from the labels of the earlier rows; with --split-by-time.")
    var learnLabels = false

    @Option(
        help: ArgumentHelp(
            "A numeric column that says how much each row counts in fitting; it is no feature then.",
            valueName: "column"))
    var weight: String?

    @Option(
        help: ArgumentHelp(
            "Write the first seed's scores as CSV: the row's number in the table, from 0, and its score.",
            valueName: "file"))
    var scores: String?

    @Option(help: "Folders of plugins, colon-separated (plugins.folders).")
    var plugins: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...1_000).contains(seeds) else { throw ValidationError("--seeds must be from 1 to 1,000") }
        if let holdout, !(holdout > 0 && holdout < 1) {
            throw ValidationError("--holdout is a share, above 0 and below 1")
        }
        guard splitByTime != nil || (holdout == nil && !learnLabels) else {
            throw ValidationError("--holdout and --learn-labels need --split-by-time")
        }
    }

    func run() async throws {
        let settings = try await Settings.load(
            file: nil, flags: plugins.map { ["plugins.folders": $0] } ?? [:])
        let zone = try settings.zone()
        let values = try assignments(parameters, option: "--set")
        let result = try await blocking { [self] in
            let registry = try Parts.registry(settings, logger: Parts.logger(settings))
            guard let loaded = registry.detector(id: detector) else {
                let ids = registry.detectors.map(\.info.id).joined(separator: ", ")
                throw UsageError("there is no detector \(detector); loaded are: \(ids)")
            }
            return try TableEvaluation(
                loaded, path: table, label: label, seeds: seeds, parameters: values,
                split: splitByTime.map { .init(column: $0, holdoutShare: holdout ?? 0.2) },
                learnsLabels: learnLabels, weight: weight, zone: zone
            ) { seed, rows, values in
                if seed == 0 { try writeScores(rows, values) }
            }
        }
        if json {
            try printJSON(result)
        } else {
            show(result)
        }
    }

    private func writeScores(_ rows: [Int], _ values: [Double]) throws {
        guard let scores else { return }
        // The shortest decimal that reads back to the same bits.
        let lines = ["row,score"] + zip(rows, values).map { "\($0),\($1)" }
        do {
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: scores))
        } catch {
            throw UsageError("--scores: \(scores) cannot be written: \(error.localizedDescription)")
        }
    }

    private func show(_ result: TableEvaluation) {
        print("\(result.table): \(result.rows) rows x \(result.columns), \(result.anomalies) anomalies")
        if let split = result.split {
            print(
                "the last of \(result.rows + result.fittedRows) by \(split.column); fitted on the earlier ones"
            )
        }
        if !result.skippedColumns.isEmpty {
            print("left out, not numbers: \(result.skippedColumns.joined(separator: ", "))")
        }
        func row(_ name: String, _ summary: TableEvaluation.Summary, digits: Int) -> [String] {
            [name] + [summary.mean, summary.standardDeviation].map { String(format: "%.*f", digits, $0) }
        }
        print(
            textTable(
                ["\(result.seeds) seeds", "mean", "sd"],
                [
                    row("AUROC", result.auroc, digits: 4),
                    row("average precision", result.averagePrecision, digits: 4),
                    row("precision at n", result.precisionAtN, digits: 4),
                    row("fit, ms", result.fitMilliseconds, digits: 2),
                    row("score, ms", result.scoreMilliseconds, digits: 2),
                ]))
    }
}
