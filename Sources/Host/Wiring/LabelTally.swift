import Exact
import Foundation
import Serving
import Synchronization
import Training

/// Compares the alerts of a stream with what its transactions are known to be. Thread-safe.
///
/// For demonstrations and judging: a service does not know its labels beforehand.
final class LabelTally: Sendable {
    private struct Counts {
        var alerts = 0
        var hits = 0
        var frauds = 0
        var labelled = 0
        /// What each model scored, in the order in which they came.
        var models: [(name: String, counts: Share)] = []
        /// Of the first alerts.
        var firstAlerts = 0
        var firstHits = 0

        mutating func note(_ model: String, isFraud: Bool, isAlert: Bool) {
            let place = models.firstIndex { $0.name == model } ?? models.count
            if place == models.count { models.append((model, Share())) }
            models[place].counts.transactions += 1
            if isFraud { models[place].counts.frauds += 1 }
            if isAlert { models[place].counts.alerts += 1 }
            if isAlert, isFraud { models[place].counts.hits += 1 }
        }
    }

    private struct Share {
        var transactions = 0
        var alerts = 0
        var hits = 0
        var frauds = 0
    }

    /// How many of the first alerts are counted on their own: those that a newcomer sees.
    private static let firstAlerts = 100

    private let isFraud: [String: Bool]
    private let counts = Mutex(Counts())

    /// - Parameter path: CSV with columns `transaction_id` and `is_fraud` (yes or no as `ValueText.boolean` has them), as `generate` writes it.
    /// - Throws: `UsageError` for a file that is something else.
    init(path: String) throws {
        isFraud = try Self.labels(path)
    }

    /// Whether each transaction of the file is a fraud, by its id.
    static func labels(_ path: String) throws -> [String: Bool] {
        let data = try InputFile.read(path)
        let columns = ["transaction_id", "is_fraud"]
        var rows = CSVRows(columns: columns, required: columns)
        var labels: [String: Bool] = [:]
        func take(_ row: CSVRows.Row) throws {
            let record = row.record
            func refuse(_ reason: String) -> UsageError {
                UsageError(
                    "--labels: line \(record.line) of \(path) has no label: \(reason): "
                        + "'\(record.fields.joined(separator: ","))'")
            }
            if let problem = row.problem { throw refuse(problem) }
            var (id, label) = (String?.none, Bool?.none)
            for column in row.columns {
                let field = record.bytes(column.index)
                if column.number == 0 {
                    id = CSVIdentifier.text(field)
                } else {
                    label = ValueText.boolean(field).value
                }
            }
            guard let id else { throw refuse("transaction_id: \(CSVIdentifier.problem)") }
            guard let label else { throw refuse("is_fraud is neither yes nor no") }
            labels[id] = label
        }
        try data.withUnsafeBytes { try rows.read($0.bindMemory(to: UInt8.self), take) }
        try rows.finish(take)
        guard rows.hasHeader else { throw UsageError("--labels: \(path) is empty: it has no header") }
        return labels
    }

    func observe(_ scored: ScoredBatch) {
        let transactions = scored.windowed.consumed.transactions
        counts.withLock { counts in
            for row in 0..<scored.count {
                guard let id = transactions.text(.transactionID, row), let fraud = isFraud[id] else {
                    continue
                }
                counts.labelled += 1
                if fraud { counts.frauds += 1 }
                let isAlert = scored.isAlert(row)
                counts.note(Self.model(scored, row), isFraud: fraud, isAlert: isAlert)
                guard isAlert else { continue }
                counts.alerts += 1
                if fraud { counts.hits += 1 }
                guard counts.alerts <= Self.firstAlerts else { continue }
                counts.firstAlerts += 1
                if fraud { counts.firstHits += 1 }
            }
        }
    }

    private static func model(_ scored: ScoredBatch, _ row: Int) -> String {
        let group = scored.groups[Int(scored.groupIndex[row])]
        return group.fallback == nil
            ? "users' own models" : "global v\(group.model.version), \(group.model.brief.detectorID)"
    }

    /// For people: a line of all, and one for each model where there were several.
    var summary: String {
        let counts = counts.withLock { $0 }
        func share(_ part: Int, _ whole: Int) -> String {
            whole == 0 ? "-" : String(format: "%.2f", Double(part) / Double(whole))
        }
        let first =
            counts.alerts > counts.firstAlerts
            ? "; \(counts.firstHits) of the first \(counts.firstAlerts)" : ""
        let all =
            "precision \(share(counts.hits, counts.alerts)) (\(counts.hits) of \(counts.alerts) alerts are "
            + "frauds\(first)), recall \(share(counts.hits, counts.frauds)) "
            + "(\(counts.frauds) frauds among \(counts.labelled) labelled transactions)"
        guard counts.models.count > 1 else { return all }
        let lines = counts.models.map { name, model in
            "  \(name): precision \(share(model.hits, model.alerts)) (\(model.hits) of \(model.alerts) alerts), "
                + "recall \(share(model.hits, model.frauds)) (\(model.frauds) frauds among \(model.transactions))"
        }
        return ([all] + lines).joined(separator: "\n")
    }
}
