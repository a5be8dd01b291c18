/// A short document of headed parts, as Markdown or HTML. What is in it may come from outside: it is escaped.
public struct ReportDocument: Sendable {
    public enum Block: Sendable {
        case paragraph(String)
        case list([String])
        case table(header: [String], rows: [[String]])
    }

    struct Part: Sendable {
        let heading: String
        /// Never empty.
        let blocks: [Block]
    }

    let title: String
    private(set) var parts: [Part] = []

    public init(title: String) { self.title = title }

    /// - Parameter missing: What is said where there is nothing to say: a heading without words would look like an
    ///   oversight.
    public mutating func add(_ heading: String, _ blocks: [Block], missing: String = "") {
        let told = blocks.filter { block in
            switch block {
            case .paragraph(let text): !text.isEmpty
            case .list(let lines): !lines.isEmpty
            case .table(_, let rows): !rows.isEmpty
            }
        }
        parts.append(Part(heading: heading, blocks: told.isEmpty ? [.paragraph(missing)] : told))
    }

    // MARK: Markdown

    public var markdown: String {
        var lines = ["# \(Self.markdown(title))", ""]
        for part in parts {
            lines += ["## \(Self.markdown(part.heading))", ""]
            for block in part.blocks {
                switch block {
                case .paragraph(let text): lines.append(Self.markdown(text))
                case .list(let items): lines += items.map { "- \(Self.markdown($0))" }
                case .table(let header, let rows):
                    lines.append(Self.row(header))
                    lines.append(Self.row(header.map { _ in "---" }))
                    lines += rows.map(Self.row)
                }
                lines.append("")
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func row(_ cells: [String]) -> String {
        "| " + cells.map(markdown).joined(separator: " | ") + " |"
    }

    /// Characters that Markdown would take for more than they are, and line ends.
    private static func markdown(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { written, character in
            switch character {
            case "\\", "`", "*", "_", "[", "]", "|", "#": written += "\\\(character)"
            case "<": written += "&lt;"
            case ">": written += "&gt;"
            case "&": written += "&amp;"
            case _ where character.properties.generalCategory == .control: written += " "
            default: written.unicodeScalars.append(character)
            }
        }
    }

    // MARK: HTML

    public var html: String {
        var html = """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>\(Self.escaped(title))</title>
            <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
            table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2em .6em;text-align:left}</style>
            </head><body>
            <h1>\(Self.escaped(title))</h1>

            """
        for part in parts {
            html += "<h2>\(Self.escaped(part.heading))</h2>\n"
            for block in part.blocks {
                switch block {
                case .paragraph(let text): html += "<p>\(Self.escaped(text))</p>\n"
                case .list(let items):
                    html += "<ul>\n" + items.map { "<li>\(Self.escaped($0))</li>\n" }.joined() + "</ul>\n"
                case .table(let header, let rows):
                    html += "<table>\n" + Self.row(header, "th") + rows.map { Self.row($0, "td") }.joined()
                    html += "</table>\n"
                }
            }
        }
        return html + "</body></html>\n"
    }

    private static func row(_ cells: [String], _ element: String) -> String {
        "<tr>" + cells.map { "<\(element)>\(escaped($0))</\(element)>" }.joined() + "</tr>\n"
    }

    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { written, character in
            switch character {
            case "<": written += "&lt;"
            case ">": written += "&gt;"
            case "&": written += "&amp;"
            case "\"": written += "&quot;"
            case _ where character.properties.generalCategory == .control: written += " "
            default: written.unicodeScalars.append(character)
            }
        }
    }
}
