import Features
import Foundation
import Glibc
import Models
import Serving
import Synchronization

/// What `serve --show` prints: anomalies with their reasons, and every two seconds the throughput and who spoke.
final class ServingDisplay: Sendable {
    private struct State {
        var status: ServingStatus?
        var last = ServingStatus.Totals()
        var lastTime = ContinuousClock.now
        /// Of this interval, so that a flood of anomalies does not flood the terminal.
        var shown = 0
    }

    private static let linesPerInterval = 12
    private let state = Mutex(State())
    private let tally: LabelTally?
    private let showsLines: Bool

    /// - Parameters:
    ///   - tally: Knows what the transactions are; its summary comes at the end.
    ///   - showsLines: Anomalies and throughput as they come.
    init(tally: LabelTally?, showsLines: Bool) {
        self.tally = tally
        self.showsLines = showsLines
    }

    func begin(stream: String, status: ServingStatus) {
        state.withLock { $0.status = status }
        write("stream  \(stream)\n")
    }

    func showAddress(_ address: String) { write("HTTP    \(address)\n") }

    func show(_ scored: ScoredBatch) {
        tally?.observe(scored)
        guard showsLines else { return }
        for row in 0..<scored.count where scored.isAlert(row) {
            let isShown = state.withLock { state in
                state.shown += 1
                return state.shown <= Self.linesPerInterval
            }
            if isShown { write(line(scored, row)) }
        }
        state.withLock { state in
            guard let status = state.status else { return }
            let now = ContinuousClock.now
            let seconds = (now - state.lastTime) / .seconds(1)
            guard seconds >= 2 else { return }
            let totals = status.totals
            let hidden = max(0, state.shown - Self.linesPerInterval)
            write(Self.summary(totals, since: state.last, seconds: seconds, hidden: hidden))
            state.last = totals
            state.lastTime = now
            state.shown = 0
        }
    }

    private func line(_ scored: ScoredBatch, _ row: Int) -> String {
        let transactions = scored.windowed.consumed.transactions
        let group = scored.groups[Int(scored.groupIndex[row])]
        let model = group.fallback == nil ? "own v\(group.model.version)" : "global v\(group.model.version)"
        let reasons = (scored.reasons[Int32(row)] ?? []).map(\.sentence).joined(separator: "; ")
        let severity = scored.severity(row).map { String(format: "severity %.2f, ", $0) } ?? ""
        let score = severity + String(format: "%.3f < %.3f", scored.scores[row], group.model.threshold)
        let ids = "\(transactions.text(.userID, row) ?? "") \(transactions.text(.transactionID, row) ?? "")"
        return printable("ANOMALY \(ids)  \(score)  [\(model)]  \(reasons)") + "\n"
    }

    private static func summary(
        _ totals: ServingStatus.Totals, since last: ServingStatus.Totals, seconds: Double, hidden: Int
    ) -> String {
        let count = totals.transactions - last.transactions
        let own = totals.scoredByOwnModel - last.scoredByOwnModel
        let share = count > 0 ? 100 * own / count : 0
        let more = hidden > 0 ? "  (\(hidden) more anomalies not shown)" : ""
        return String(
            format:
                "-- %.0f transactions/s, %d in all, %d anomalies, %d dead letters; %d %% scored by users' own models",
            Double(count) / seconds, totals.transactions, totals.anomalies, totals.deadLetters, share)
            + "\(more)\n"
    }

    /// The stream has ended, and what waits for a signal goes on.
    func endStream() {
        guard let tally, state.withLock({ $0.status?.phase == .finished }) else { return }
        write("the stream has ended: " + tally.summary + "\n")
    }

    func finish() {
        state.withLock { state in
            guard let totals = state.status?.totals else { return }
            write(
                "ended: \(totals.transactions) transactions, \(totals.anomalies) anomalies, \(totals.deadLetters) dead letters\n"
            )
            if let tally { write(tally.summary + "\n") }
        }
    }

    private func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
}
