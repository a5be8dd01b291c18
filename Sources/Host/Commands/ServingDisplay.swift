import Features
import Foundation
import Glibc
import Models
import Serving
import Synchronization

/// What `serve --show` prints: alerts with their reasons, and every two seconds the throughput and who spoke.
final class ServingDisplay: Sendable {
    private struct State {
        var status: ServingStatus?
        var last = ServingStatus.Totals()
        var lastTime = ContinuousClock.now
        /// Of this interval, so that a flood of alerts does not flood the terminal.
        var shown = 0
    }

    private static let linesPerInterval = 12
    private let state = Mutex(State())
    private let tally: LabelTally?
    private let showsLines: Bool
    private let write: @Sendable (String) -> Void

    /// - Parameters:
    ///   - tally: Knows what the transactions are; its summary comes at the end.
    ///   - showsLines: Alerts and throughput as they come.
    ///   - write: Where it goes.
    init(
        tally: LabelTally?, showsLines: Bool,
        write: @escaping @Sendable (String) -> Void = { FileHandle.standardOutput.write(Data($0.utf8)) }
    ) {
        self.tally = tally
        self.showsLines = showsLines
        self.write = write
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
            let hidden = Self.takeHidden(&state)
            write(Self.summary(totals, since: state.last, seconds: seconds, hidden: hidden))
            state.last = totals
            state.lastTime = now
        }
    }

    /// How many alerts of this interval were not shown; the next one begins.
    private static func takeHidden(_ state: inout State) -> Int {
        defer { state.shown = 0 }
        return max(0, state.shown - linesPerInterval)
    }

    private func line(_ scored: ScoredBatch, _ row: Int) -> String {
        let transactions = scored.windowed.consumed.transactions
        let group = scored.groups[Int(scored.groupIndex[row])]
        let model = group.fallback == nil ? "own v\(group.model.version)" : "global v\(group.model.version)"
        let reasons = (scored.reasons[Int32(row)] ?? []).map(\.sentence).joined(separator: "; ")
        let severity = scored.severity(row).map { String(format: "severity %.2f, ", $0) } ?? ""
        let sign = scored.isAnomaly(row) ? "<" : ">="
        let score =
            severity + String(format: "%.3f \(sign) %.3f", scored.scores[row], group.model.threshold)
        let what = scored.rule(row).map { "ALERT by rule \($0.id)" } ?? "ANOMALY"
        let ids = "\(transactions.text(.userID, row) ?? "") \(transactions.text(.transactionID, row) ?? "")"
        return printable("\(what) \(ids)  \(score)  [\(model)]  \(reasons)") + "\n"
    }

    private static func summary(
        _ totals: ServingStatus.Totals, since last: ServingStatus.Totals, seconds: Double, hidden: Int
    ) -> String {
        let count = totals.transactions - last.transactions
        let own = totals.scoredByOwnModel - last.scoredByOwnModel
        let share = count > 0 ? 100 * own / count : 0
        let more = hidden > 0 ? "  (\(hidden) more alerts not shown)" : ""
        return String(
            format:
                "-- %.0f transactions/s, %d in all, %d anomalies, %d dead letters; %d %% scored by users' own models",
            Double(count) / seconds, totals.transactions, totals.anomalies, totals.deadLetters, share)
            + "\(more)\n"
    }

    /// The stream has ended, and what waits for a signal goes on.
    func endStream() {
        guard state.withLock({ $0.status?.phase == .finished }) else { return }
        writeHidden()
        guard let tally else { return }
        write("the stream has ended: " + tally.summary + "\n")
    }

    func finish() {
        writeHidden()
        state.withLock { state in
            guard let totals = state.status?.totals else { return }
            write(
                "ended: \(totals.transactions) transactions, \(totals.anomalies) anomalies, \(totals.deadLetters) dead letters\n"
            )
            if let tally { write(tally.summary + "\n") }
        }
    }

    /// Of what came since the last summary.
    private func writeHidden() {
        let hidden = state.withLock { Self.takeHidden(&$0) }
        if hidden > 0 { write("-- \(hidden) more alerts not shown\n") }
    }
}
