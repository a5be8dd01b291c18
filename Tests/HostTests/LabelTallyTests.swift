import Foundation
import Testing

@testable import Host

/// `replay --labels` reads ids and rows as `etl` does.
@Suite struct LabelTallyTests {
    private func labels(_ text: String) throws -> [String: Bool] {
        let path = FileManager.default.temporaryDirectory.appending(path: "labels-\(UUID().uuidString).csv")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(text.utf8).write(to: URL(filePath: path))
        return try LabelTally.labels(path)
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
