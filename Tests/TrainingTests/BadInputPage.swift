import Foundation

/// The tables of docs/bad-input.md, by the heading that they stand under.
struct BadInputPage {
    private var tables: [String: [[String]]] = [:]

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/bad-input.md"), encoding: .utf8)
        var heading = ""
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("## ") { heading = String(line.dropFirst(3)) }
            guard line.hasPrefix("| "), line.hasSuffix("|") else { continue }
            let cells = line.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
            tables[heading, default: []].append(cells.map { $0.trimmingCharacters(in: .whitespaces) })
        }
    }

    /// The rows of a table, without its head.
    func rows(_ heading: String) -> [[String]] { Array((tables[heading] ?? []).dropFirst()) }

    /// What stands between the quotes of a cell, blanks included.
    static func text(_ cell: String) -> String {
        cell == "(empty)" ? "" : cell.split(separator: "`").first.map(String.init) ?? cell
    }
}
