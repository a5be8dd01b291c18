import Foundation
import Testing

/// Tables of the documentation are shown as tables.
@Suite struct DocumentTableTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func pages() throws -> [String] {
        let docs = try FileManager.default.subpathsOfDirectory(atPath: root.appending(path: "docs").path)
        return ["README.md", "CONTRIBUTING.md"] + docs.filter { $0.hasSuffix(".md") }.map { "docs/\($0)" }
    }

    /// A row behind an empty line belongs to no table: readers see its bars.
    @Test func everyRowStandsInATableWithAHead() throws {
        var tables = 0
        for page in try Self.pages() {
            let text = try String(contentsOf: Self.root.appending(path: page), encoding: .utf8)
            let lines = text.components(separatedBy: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            var isInTable = false
            for (number, line) in lines.enumerated() {
                defer { isInTable = line.hasPrefix("|") }
                guard line.hasPrefix("|"), !isInTable else { continue }
                tables += 1
                let next = number + 1 < lines.count ? lines[number + 1] : ""
                let isHead = next.hasPrefix("|-") || next.hasPrefix("| -")
                #expect(isHead, "\(page), line \(number + 1): '\(line)' stands in no table")
            }
        }
        #expect(tables > 50)
    }
}
