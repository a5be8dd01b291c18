import DetectorAPI

/// What the suite says while it runs.
enum VerificationEvent: Codable, Hashable {
    /// The check with this number.
    case started(Int)
    case loaded(sha256: String, id: String, version: String)
    /// What the check is about to try.
    case note(String)
    case finished(Int, VerificationCheck)
}

/// Collects what the suite says.
final class VerificationRecord {
    private var result: DetectorVerification
    private(set) var isLoaded = false
    /// The check that has started and not finished, and what it was about to try.
    private(set) var current: (index: Int, note: String?)?

    init(path: String) { result = DetectorVerification(path: path) }

    var finishedCount: Int { result.checks.count }

    func add(_ event: VerificationEvent) {
        switch event {
        case .started(let index): current = (index, nil)
        case .note(let note): current?.note = note
        case .loaded(let sha256, let id, let version):
            isLoaded = true
            (result.sha256, result.id, result.version) = (sha256, id, version)
        case .finished(_, let check):
            current = nil
            result.checks.append(check)
        }
    }

    func verification(notReached reason: String) -> DetectorVerification {
        var complete = result
        for check in Check.all.dropFirst(result.checks.count) {
            complete.checks.append(VerificationCheck(check.name, .notReached, reason))
        }
        return complete
    }
}

/// Loads the library and runs the checks from number `first` on.
func runChecks(
    path: String, settings: VerificationSettings, from first: Int,
    tell: @escaping (VerificationEvent) -> Void
) {
    tell(.started(first))
    do {
        let file = try PluginFile(path: path)
        let stamp = try file.checkedStamp()
        let detector = try PluginLibrary.open(file.path, name: path, stamp: stamp)
        tell(.loaded(sha256: file.sha256, id: detector.info.id, version: detector.info.version))
        let subject = Subject(detector: detector, stamp: stamp, settings: settings) { tell(.note($0)) }
        for (index, check) in Check.all.enumerated().dropFirst(first) {
            if index > first { tell(.started(index)) }
            tell(.finished(index, result(of: check, subject)))
        }
    } catch {
        let reason = (error as? PluginRefusal)?.reason ?? "\(error)"
        tell(.finished(first, VerificationCheck(Check.all[first].name, .failed, reason)))
    }
}

private func result(of check: Check, _ subject: Subject) -> VerificationCheck {
    let clock = ContinuousClock()
    let start = clock.now
    var result: VerificationCheck
    do {
        switch try check.run(subject) {
        case .passed(let detail): result = VerificationCheck(check.name, .passed, detail)
        case .notApplicable(let detail): result = VerificationCheck(check.name, .notApplicable, detail)
        case .measured(let detail, let measurements):
            result = VerificationCheck(check.name, .passed, detail, measurements: measurements)
        }
    } catch let failure as CheckFailure {
        result = VerificationCheck(check.name, .failed, failure.detail)
    } catch {
        result = VerificationCheck(check.name, .failed, "throws: \(error)")
    }
    result.milliseconds = ((clock.now - start) / .milliseconds(1) * 10).rounded() / 10
    return result
}
