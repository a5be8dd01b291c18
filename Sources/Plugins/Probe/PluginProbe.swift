import Foundation

/// Loads a plugin in a short-lived process before this one does: a crash or a hang becomes a refusal.
public struct PluginProbe: Sendable {
    let executable: String
    let arguments: [String]
    let timeLimitMilliseconds: Int

    /// - Parameters:
    ///   - executable: A program that calls `runProbe(path:)` with its last argument and ends with what that
    ///     returns: this one, usually, as `/proc/self/exe`.
    ///   - arguments: Before the path.
    public init(executable: String, arguments: [String], timeLimitMilliseconds: Int = 10_000) {
        self.executable = executable
        self.arguments = arguments
        self.timeLimitMilliseconds = timeLimitMilliseconds
    }

    /// - Parameters:
    ///   - path: What to load.
    ///   - name: What to call it.
    /// - Throws: `PluginRefusal` that says what the plugin was doing, and the signal or the time limit.
    func check(_ path: String, name: String) throws(PluginRefusal) {
        let child = ChildProcess(
            executable: executable, arguments: arguments + [path],
            timeLimitMilliseconds: timeLimitMilliseconds)
        var messages: [ProbeMessage] = []
        let outcome: ChildProcess.Outcome
        do {
            outcome = try child.run { line in
                if let message = try? JSONDecoder().decode(ProbeMessage.self, from: line) {
                    messages.append(message)
                }
                return false
            }
        } catch {
            throw PluginRefusal(path: name, reason: "it could not be probed: \(error.description)")
        }
        if case .refused(let reason)? = messages.last { throw PluginRefusal(path: name, reason: reason) }
        if case .passed? = messages.last, outcome.end == .exited(0) { return }
        var reason = "it \(outcome.end.description)"
        if case .stage(let stage)? = messages.last { reason += " while \(stage)" }
        if case .passed? = messages.last { reason += " while the process ended" }
        if messages.isEmpty { reason = "the probe \(outcome.end.description) before it loaded anything" }
        if !outcome.complaint.isEmpty { reason += "; it said: \(outcome.complaint)" }
        throw PluginRefusal(path: name, reason: reason)
    }
}

/// What the probing process says.
enum ProbeMessage: Codable, Hashable {
    /// Before a stage starts.
    case stage(String)
    case refused(String)
    case passed
}

/// The probing process's work: loads a plugin and tries it. What it finds goes to standard output, one JSON object
/// a line; limits its own memory and time.
///
/// - Returns: The status to exit with: 0, or 1 for a refusal.
public func runProbe(path: String) -> Int32 {
    let report = ChildReport()
    ChildLimits(memoryMiB: 4_096, timeMilliseconds: 30_000).apply()
    do {
        report.send(ProbeMessage.stage("being loaded"))
        let file = try PluginFile(path: path)
        let detector = try PluginLibrary.open(file.path, name: path, stamp: try file.checkedStamp())
        _ = try TrialRun.run(detector) { report.send(ProbeMessage.stage($0)) }
        report.send(ProbeMessage.passed)
        return 0
    } catch let refusal as PluginRefusal {
        report.send(ProbeMessage.refused(refusal.reason))
    } catch let failure as TrialRun.Failure {
        report.send(ProbeMessage.refused("its trial failed: \(failure)"))
    } catch {
        report.send(ProbeMessage.refused("\(error)"))
    }
    return 1
}
