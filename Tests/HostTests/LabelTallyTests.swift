import Foundation
import Rules
import Testing

@testable import Host

/// `replay --labels` reads ids and rows as `etl` does, and counts alerts.
@Suite struct LabelTallyTests {
    private func labels(_ text: String) throws -> [String: Bool] {
        let path = FileManager.default.temporaryDirectory.appending(path: "labels-\(UUID().uuidString).csv")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(text.utf8).write(to: URL(filePath: path))
        return try LabelTally.labels(path)
    }

    /// Rules give and suppress alerts: what is counted follows them, and not the model alone.
    @Test func alertsAreThoseOfTheRules() throws {
        let scene = try ScoredScene()
        let path = FileManager.default.temporaryDirectory.appending(path: "labels-\(UUID().uuidString).csv")
        defer { try? FileManager.default.removeItem(at: path) }
        try Data("transaction_id,is_fraud\nt0,1\nt1,0\nt2,1\nt3,0\n".utf8).write(to: path)
        func summary(_ rules: [Rule]) throws -> String {
            let tally = try LabelTally(path: path.path)
            // The last two are anomalies.
            tally.observe(try scene.scored([10, 20, 95, 99], rules: rules))
            return tally.summary
        }
        #expect(try summary([]).contains("1 of 2 alerts are frauds"))
        let quiet = ScoredScene.rule("quiet", .suppress, .init(amountFrom: 99))
        #expect(try summary([quiet]).contains("1 of 1 alerts are frauds"))
        let told = ScoredScene.rule("told", .alert, .init(amountTo: 10))
        #expect(try summary([quiet, told]).contains("2 of 2 alerts are frauds"))
    }

    @Test func labelsAreRead() throws {
        #expect(
            try labels(" is_fraud,more,transaction_id,\n1,x,42.0,\nno,,t2,\n") == ["42": true, "t2": false])
    }

    @Test(arguments: [
        ("transaction_id,is_fraud,is_fraud\na,1,0\n", "is_fraud twice"),
        ("is_fraud,transaction_id,more\n1,t1,x\n1,t12\n", "line 3"),
        ("transaction_id,is_fraud\na,perhaps\n", "neither yes nor no"),
        ("transaction_id;is_fraud\na;1\n", "not by ';'"), ("id,is_fraud\na,1\n", "lacks transaction_id"),
        ("10000000000000000.0,1\n", "lacks"),
        ("transaction_id,is_fraud\n10000000000000000.0,1\n", "tell ids apart"),
        ("", "no header"),
    ])
    func whatIsNoLabelIsNamed(text: String, words: String) {
        let error = #expect(throws: UsageError.self) { try labels(text) }
        #expect("\(String(describing: error))".contains(words))
    }
}
