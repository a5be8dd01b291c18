import Features
import Foundation
import Management
import Serving
import Training
import Transactions

/// Makes one verdict again from its transactions and its model.
struct AuditSession {
    /// - Parameter stream: JSONL file of the stream's transactions; nil: the user's come from the lake.
    static func run(
        _ recorded: RecordedVerdict, stream: String?, _ settings: Settings, isCommand: Bool = false
    ) throws -> VerdictAudit {
        var outcome = VerdictAudit.missing
        try ReplaySession.with(settings, isCommand: isCommand) { session in
            // What the lake gives begins long before the verdict's window does.
            let input = try stream ?? transactions(of: recorded, settings, session)
            let history =
                stream == nil
                ? nil : Windows.history(settings, users: [recorded.userID], logger: session.logger)
            outcome = try audit(recorded, input: input, after: history, session)
        }
        return outcome
    }

    private static func audit(
        _ recorded: RecordedVerdict, input: String, after history: WindowHistory?, _ session: ReplaySession
    ) throws -> VerdictAudit {
        var files = FileTransactionStream.Settings(input: input, verdicts: "/dev/null")
        files.skewMilliseconds = session.scoring.windows.skewMilliseconds
        files.zone = session.scoring.zone
        let opened = try FileTransactionStream(files)
        defer { opened.close() }
        let outcome = try session.verdictReplay.run(
            opened, RecordedVerdicts([recorded]), after: history)
        if let difference = outcome.firstDifference {
            return .differs("\(VerdictDifference(difference.recorded, difference.recomputed))")
        }
        return outcome.recomputed == 0 ? .missing : .reproduced
    }

    /// Writes the user's transactions from the lake to a file, in the order of their times.
    private static func transactions(
        of recorded: RecordedVerdict, _ settings: Settings, _ session: ReplaySession
    ) throws -> String {
        let uri = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        guard let end = recorded.eventMilliseconds else {
            throw RecordedTransactionMissing(description: "the verdict has no event_time")
        }
        // A window holds nothing older, but for the time of the last event of somebody who was away for longer.
        let start = end - 2 * UserWindow.reachMilliseconds
        let found = try LakeTransactions(
            lake: try Parts.objectStore(uri, settings), zone: try settings.zone()
        ).of(
            user: recorded.userID, from: start, through: end)
        let path = session.folder.appending(path: "transactions.jsonl").path
        let text = found.map { $0.json() + "\n" }.joined()
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }
}

/// What an audit cannot do without.
struct RecordedTransactionMissing: Error, CustomStringConvertible {
    let description: String
}
