import Logging

/// A text as it may stand in a line of the log or on a terminal: characters that would begin a line, move the cursor, or
/// turn the direction of writing are shown as `\u{1b}`. Ids of users and transactions are anybody's to choose.
func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { !$0.isPrintable }) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
        if scalar.isPrintable {
            shown.unicodeScalars.append(scalar)
        } else {
            shown += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return shown
}

extension Unicode.Scalar {
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        // Format characters among them: U+202E turns a line around, U+200B hides in it.
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
        default: true
        }
    }
}

extension Logger.MetadataValue {
    /// As it may stand in a line `name=value name=value`: in quotes where it could be taken for several.
    var printable: Logger.MetadataValue {
        switch self {
        case .string(let text): .string(Self.quoted(text))
        case .stringConvertible(let value): .string(Self.quoted("\(value)"))
        case .dictionary(let values): .dictionary(values.mapValues(\.printable))
        case .array(let values): .array(values.map(\.printable))
        @unknown default: .string(Self.quoted("\(self)"))
        }
    }

    private static func quoted(_ text: String) -> String {
        let text = Host.printable(text)
        guard text.contains(where: { $0 == " " || $0 == "=" || $0 == "\"" }) || text.isEmpty else {
            return text
        }
        return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
