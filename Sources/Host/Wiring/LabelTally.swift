import Foundation
import Serving
import Synchronization

/// Compares the alerts of a stream with what its transactions are known to be. Thread-safe.
///
/// For demonstrations and judging: a service does not know its labels beforehand.
final class LabelTally: Sendable {
    private struct Counts {
        var alerts = 0
        var hits = 0
        var frauds = 0
        var labelled = 0
        /// Of the first alerts.
        var firstAlerts = 0
        var firstHits = 0
    }

    /// How many of the first alerts are counted on their own: those that a newcomer sees.
    private static let firstAlerts = 100

    private let isFraud: [String: Bool]
    private let counts = Mutex(Counts())

    /// - Parameter path: CSV with columns `transaction_id` and `is_fraud` (1, true or 0, false), as `generate` writes it.
    /// - Throws: `UsageError` for a file that is something else.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw UsageError("--labels: there is no file \(path)")
        }
        var lines = String(decoding: data, as: UTF8.self).split(separator: "\n").makeIterator()
        let header =
            lines.next()?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? []
        guard let id = header.firstIndex(of: "transaction_id"), let label = header.firstIndex(of: "is_fraud")
        else {
            throw UsageError(
                "--labels: \(path) has no columns transaction_id and is_fraud; its first line is '\(header.joined(separator: ","))'"
            )
        }
        var isFraud: [String: Bool] = [:]
        var number = 1
        while let line = lines.next() {
            number += 1
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            guard fields.count > max(id, label), let value = Self.value(fields[label]) else {
                throw UsageError("--labels: line \(number) of \(path) has no label: '\(line)'")
            }
            isFraud[String(fields[id])] = value
        }
        self.isFraud = isFraud
    }

    private static func value(_ text: Substring) -> Bool? {
        switch text.trimmingCharacters(in: .whitespaces) {
        case "1", "true": true
        case "0", "false": false
        default: nil
        }
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
                guard scored.isAnomaly(row) else { continue }
                counts.alerts += 1
                if fraud { counts.hits += 1 }
                guard counts.alerts <= Self.firstAlerts else { continue }
                counts.firstAlerts += 1
                if fraud { counts.firstHits += 1 }
            }
        }
    }

    /// One line for people.
    var summary: String {
        let counts = counts.withLock { $0 }
        func share(_ part: Int, _ whole: Int) -> String {
            whole == 0 ? "-" : String(format: "%.2f", Double(part) / Double(whole))
        }
        return
            "precision \(share(counts.hits, counts.alerts)) (\(counts.hits) of \(counts.alerts) alerts are frauds; of "
            + "the first \(counts.firstAlerts) \(counts.firstHits)), recall \(share(counts.hits, counts.frauds)) "
            + "(\(counts.frauds) frauds among \(counts.labelled) labelled transactions)"
    }
}
