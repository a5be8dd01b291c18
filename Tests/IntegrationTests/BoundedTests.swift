import Foundation
import Testing

/// `scripts/bounded`, by which a test that stands ends a run with its name.
@Suite struct BoundedTests {
    private func bounded(_ minutes: String, _ script: String) throws -> (status: Int32, text: String) {
        try Command.output(
            ServiceProcess.root.appending(path: "scripts/bounded"), [minutes, "bash", "-c", script])
    }

    @Test func whatEndsInTimeHasItsOutputAndStatus() throws {
        let ended = try bounded("5", "echo out; echo err >&2; exit 3")
        #expect(ended.status == 3)
        #expect(ended.text == "out\nerr\n")
    }

    @Test func whatIsLeftBehindIsNotWaitedFor() throws {
        let ended = try bounded("5", "setsid sleep infinity & echo pid $!; exit 3")
        #expect(ended.status == 3)
        let pid = try #require(ended.text.firstMatch(of: /pid (\d+)/).flatMap { Int32($0.1) })
        kill(pid, SIGKILL)
    }

    @Test func aTestThatStandsIsNamedAndEndedWithWhatItStarted() throws {
        // In the manner of swift-testing. It would stand for good.
        let stood = try bounded(
            "0.03",
            """
            echo '◇ Test run started.'
            echo '◇ Test ends() started.'; echo '✔ Test ends() passed after 0.1 seconds.'
            echo '◇ Test stands(path:) started.'; sleep infinity & echo "pid $!"; wait
            """)
        #expect(stood.status == 124)
        let named = stood.text.split(separator: "\n").filter { $0.contains("began and did not end") }
        #expect(named == ["scripts/bounded: began and did not end: stands(path:)"])
        let pid = try #require(stood.text.firstMatch(of: /pid (\d+)/).flatMap { Int32($0.1) })
        // Nobody may have asked for its status yet; then it is a zombie.
        let state = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        #expect(state == nil || state?.contains(") Z ") == true, "what it started goes on")
    }
}
