import DetectorAPI
import Foundation
import Testing

@testable import Plugins

/// A plugin that crashes takes a child process with it, not this one.
@Suite struct PluginProbeTests {
    static let child = "\(Built.folder)/PluginChild"

    private func refusal(_ fault: String, timeLimitMilliseconds: Int = 20_000) throws -> String? {
        let folder = try Folder()
        let path = try CompiledFixture.compile(fault, into: folder)
        let probe = PluginProbe(
            executable: Self.child, arguments: ["probe"], timeLimitMilliseconds: timeLimitMilliseconds)
        let registry = DetectorRegistry(folders: [folder.path], probe: probe, logger: quiet)
        let refusals = registry.rescan()
        #expect(refusals.allSatisfy { $0.path == path })
        #expect(registry.detectors.count == 1 - refusals.count)
        return refusals.first?.reason
    }

    @Test func aGoodPluginPasses() throws {
        #expect(try refusal("NONE") == nil)
    }

    @Test(arguments: [
        ("CRASH_AT_LOAD", "it was ended by SIGSEGV while being loaded"),
        ("CRASH_IN_FIT", "it was ended by SIGSEGV while fitting 64 rows"),
        ("ABORT_IN_SCORE", "it was ended by SIGABRT while scoring"),
        ("EXIT_IN_DECODE", "it ended the process with status 0 while decoding"),
        ("BAD_ID", "its id 'Not An Id' is not at most 64 characters of lower-case words joined by hyphens"),
        ("NO_MODEL", "its trial failed: fitting 64 rows of 3 throws: fixture gave no model and no error"),
        (
            "ALLOCATES_MUCH",
            "its trial failed: fitting 64 rows of 3 throws: fixture: fit failed with status 5: out of memory"
        ),
    ])
    func refusesWhatCrashes(fault: String, reason: String) throws {
        #expect(try refusal(fault) == reason)
    }

    @Test func refusesWhatHangs() throws {
        let reason = try refusal("HANG_IN_FIT", timeLimitMilliseconds: 1_500)
        #expect(reason == "it was still at it after 1500 ms while fitting 64 rows")
    }

    @Test func aProbeThatCannotRunRefuses() throws {
        let folder = try Folder()
        try CompiledFixture.compile(into: folder)
        for (executable, reason) in [
            (
                "/nonexistent",
                "it could not be probed: /nonexistent cannot be started: No such file or directory"
            ),
            ("/bin/false", "the probe ended the process with status 1 before it loaded anything"),
        ] {
            let probe = PluginProbe(executable: executable, arguments: [])
            let registry = DetectorRegistry(folders: [folder.path], probe: probe, logger: quiet)
            #expect(registry.rescan().first?.reason == reason)
            #expect(registry.detectors.isEmpty)
        }
    }

    @Test func whatTheChildStartedEndsWithIt() throws {
        let mark = UUID().uuidString
        let child = ChildProcess(
            executable: "/bin/sh", arguments: ["-c", "sh -c 'sleep 300; echo \(mark)' & echo started; wait"],
            timeLimitMilliseconds: 500)
        var lines: [String] = []
        let outcome = try child.run { line in
            lines.append(String(decoding: line, as: UTF8.self))
            return false
        }
        #expect(outcome.end == .timedOut(milliseconds: 500))
        #expect(lines == ["started"])
        func left() throws -> [String] {
            let processes = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter {
                Int($0) != nil
            }
            return processes.filter { process in
                let words = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
                return String(decoding: words, as: UTF8.self).contains(mark) && process != "\(getpid())"
            }
        }
        // Killed by then, all of them; on a busy machine the last steps of one may still be to come.
        let deadline = ContinuousClock.now + .seconds(20)
        while try !left().isEmpty, ContinuousClock.now < deadline { usleep(10_000) }
        #expect(try left() == [])
    }

    @Test func theChildInheritsNoDescriptors() throws {
        let descriptor = open("/dev/null", O_RDONLY)
        defer { close(descriptor) }
        let child = ChildProcess(
            executable: "/bin/ls", arguments: ["/proc/self/fd"], timeLimitMilliseconds: 20_000)
        var lines: [String] = []
        let outcome = try child.run { line in
            lines.append(String(decoding: line, as: UTF8.self))
            return false
        }
        #expect(outcome.end == .exited(0))
        // The fourth is the folder that it lists.
        #expect(lines == ["0", "1", "2", "3"])
    }

    @Test func keepsWhatTheChildSaidLast() throws {
        let script = "yes chatter | head -c 100000 >&2; echo no >&2; printf 'one\\ntwo\\nunfinished'; exit 3"
        let child = ChildProcess(
            executable: "/bin/sh", arguments: ["-c", script], timeLimitMilliseconds: 20_000)
        var lines: [String] = []
        let outcome = try child.run { line in
            lines.append(String(decoding: line, as: UTF8.self))
            return false
        }
        #expect(outcome.end == .exited(3))
        #expect(outcome.complaint.hasSuffix("chatter | no"))
        #expect(lines == ["one", "two"])
    }
}
