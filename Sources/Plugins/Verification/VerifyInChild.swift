import Foundation

/// Checks a plugin against everything that `DetectorAPI` promises, in child processes with limits on time and memory:
/// a check that crashes or hangs is a failed check, and the next one runs in a fresh process. Blocks.
///
/// - Parameters:
///   - executable: A program that hands what follows `arguments` to `runVerification(arguments:)` and ends with what
///     that returns: this one, usually, as `/proc/self/exe`.
///   - progress: Told each check that is finished, and which part of all has been.
public func verifyInChild(
    path: String, executable: String, arguments: [String],
    settings: VerificationSettings = VerificationSettings(),
    progress: (VerificationCheck, Double) -> Void = { _, _ in }
) -> DetectorVerification {
    let record = VerificationRecord(path: path)
    func add(_ event: VerificationEvent) {
        record.add(event)
        if case .finished(let index, let check) = event {
            progress(check, Double(index + 1) / Double(Check.all.count))
        }
    }
    var hangs = 0
    while record.finishedCount < Check.all.count {
        let first = record.finishedCount
        let end: ChildEnd
        let complaint: String
        do {
            let child = ChildProcess(
                executable: executable, arguments: arguments + [path, "\(first)", try settings.argument()],
                timeLimitMilliseconds: settings.limits.timeMilliseconds)
            let outcome = try child.run { line in
                guard let event = try? JSONDecoder().decode(VerificationEvent.self, from: line) else {
                    return false
                }
                add(event)
                if case .started = event { return true }
                return false
            }
            (end, complaint) = (outcome.end, outcome.complaint)
        } catch {
            return record.verification(notReached: "the checking process: \(error)")
        }
        if let (index, note) = record.current {
            let said = complaint.isEmpty ? "" : "; it said: \(complaint)"
            let what = note.map { " while \($0)" } ?? ""
            add(
                .finished(
                    index,
                    VerificationCheck(Check.all[index].name, .failed, "\(end.description)\(what)\(said)")))
            if case .timedOut = end { hangs += 1 }
        }
        guard record.isLoaded else { return record.verification(notReached: "it could not be loaded") }
        guard hangs < 3 else { return record.verification(notReached: "after three hangs no more was tried") }
        guard record.finishedCount > first else {
            return record.verification(
                notReached: "the checking process \(end.description) and checked nothing")
        }
    }
    return record.verification(notReached: "")
}

/// The child's part of `verifyInChild`.
///
/// - Returns: The status to exit with: 0, or 64 for arguments that `verifyInChild` did not make.
public func runVerification(arguments: [String]) -> Int32 {
    guard arguments.count == 3, let first = Int(arguments[1]), Check.all.indices.contains(first),
        let settings = try? JSONDecoder().decode(VerificationSettings.self, from: Data(arguments[2].utf8))
    else { return 64 }
    let report = ChildReport()
    var limits = settings.limits
    // The parent times each check; this ends a child whose parent is gone.
    limits.timeMilliseconds *= Check.all.count
    limits.apply()
    runChecks(path: arguments[0], settings: settings, from: first) { report.send($0) }
    return 0
}

extension VerificationSettings {
    fileprivate func argument() throws -> String {
        String(decoding: try JSONEncoder().encode(self), as: UTF8.self)
    }
}
