import Serving
import Synchronization
import Testing

@testable import Host

/// What `serve --show` prints of alerts is true, and nothing is left out without a word.
@Suite struct ServingDisplayTests {
    private final class Screen: Sendable {
        private let lines = Mutex<[String]>([])
        var text: [String] { lines.withLock { $0 } }
        func write(_ line: String) { lines.withLock { $0.append(line) } }
    }

    @Test func anAlertByARuleIsShownAsOne() throws {
        let screen = Screen()
        let display = ServingDisplay(tally: nil, showsLines: true) { screen.write($0) }
        let told = ScoredScene.rule("told", .alert, .init(amountTo: 10))
        display.show(try ScoredScene().scored([10, 20, 99], rules: [told]))
        #expect(screen.text.count == 2)
        #expect(screen.text.first?.hasPrefix("ALERT by rule told u t0  -10.000 >= -90.000") == true)
        #expect(screen.text.last?.hasPrefix("ANOMALY u t2  -99.000 < -90.000") == true)
    }

    /// A file may be through before the first summary.
    @Test(arguments: [12, 13, 40]) func whatWasNotShownIsCountedAtTheEnd(count: Int) throws {
        let screen = Screen()
        let display = ServingDisplay(tally: nil, showsLines: true) { screen.write($0) }
        let status = ServingStatus()
        display.begin(stream: "file", status: status)
        display.show(try ScoredScene().scored(Array(repeating: 99, count: count)))
        display.finish()
        let shown = screen.text.count { $0.hasPrefix("ANOMALY") }
        let hidden = screen.text.filter { $0.hasSuffix("more alerts not shown\n") }
        #expect(shown == 12)
        #expect(hidden == (count > 12 ? ["-- \(count - 12) more alerts not shown\n"] : []))
        // Once.
        display.finish()
        #expect(screen.text.count { $0.hasSuffix("not shown\n") } == hidden.count)
    }
}
