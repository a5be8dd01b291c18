import Foundation
import Testing

/// Pages that say which test runs an exercise name tests that exist.
@Suite struct NamedTestsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func sources() throws -> String {
        var text = ""
        let files = FileManager.default.enumerator(
            at: root.appending(path: "Tests"), includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            if file.pathExtension == "swift" { text += try String(contentsOf: file, encoding: .utf8) }
        }
        return text
    }

    /// The names in backticks in the last column of tables that are headed `test` or `tests`.
    private static func named(in page: String) -> (rows: Int, names: [String]) {
        var rows = 0
        var names: [String] = []
        var isOfTests = false
        var isInTable = false
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            guard line.hasPrefix("|") else {
                isInTable = false
                continue
            }
            let last = line.split(separator: "|").last.map(String.init) ?? ""
            if !isInTable {
                isInTable = true
                isOfTests = ["test", "tests"].contains(last.trimmingCharacters(in: .whitespaces))
            } else if isOfTests, !line.hasPrefix("|-") {
                rows += 1
                names += last.matches(of: /`(\w+)`/).map { String($0.1) }
            }
        }
        return (rows, names)
    }

    @Test(arguments: ["docs/operations.md", "docs/exactly-once.md"])
    func everyTestThatAPageNamesIsThere(page: String) throws {
        let text = try String(contentsOf: Self.root.appending(path: page), encoding: .utf8)
        let sources = try Self.sources()
        let (rows, names) = Self.named(in: text)
        #expect(rows > 10 && names.count >= rows, "\(page): \(rows) rows name \(names.count) tests")
        // Besides these tables, whatever is named like a sentence is a test, and what ends as suites do is one.
        let sentences = text.matches(of: /`([a-z]+(?:[A-Z]+[a-z]*){4,})`/).map { String($0.1) }
        for name in Set(names + sentences) where !name.hasSuffix("Tests") {
            let isThere = sources.contains("func \(name)(")
            #expect(isThere, "\(page) names the test \(name), which is not there")
        }
        for match in text.matches(of: /`([A-Z]\w+Tests)`/) {
            let isThere =
                sources.contains("struct \(match.1) ") || sources.contains("class \(match.1) ")
                || FileManager.default.fileExists(atPath: Self.root.appending(path: "Tests/\(match.1)").path)
            #expect(isThere, "\(page) names \(match.1), which is not there")
        }
    }
}
