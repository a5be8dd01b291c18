import Foundation
import Testing

/// What docs/threat-model.md claims is shown by tests that exist.
@Suite struct ThreatModelTests {
    @Test func everyClaimNamesATestThatIsThere() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/threat-model.md"), encoding: .utf8)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| an attacker") }
        #expect(rows.count > 20)
        var sources = ""
        let files = FileManager.default.enumerator(
            at: root.appending(path: "Tests"), includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            if file.pathExtension == "swift" { sources += try String(contentsOf: file, encoding: .utf8) }
        }
        for row in rows {
            let tests = row.split(separator: "|").last.map {
                String($0).matches(of: /`(\w+)`/).map { String($0.1) }
            }
            #expect(tests?.isEmpty == false, "\(row) names no test")
            for test in tests ?? [] { #expect(sources.contains("func \(test)("), "there is no test \(test)") }
        }
    }
}
