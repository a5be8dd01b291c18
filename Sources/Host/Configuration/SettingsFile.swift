import Foundation
import Transactions

/// A configuration file: JSON, nested or with dotted names. Whatever stands in it is a setting, or an error that names it.
enum SettingsFile {
    /// The settings' texts by their keys; `stream.properties` as the JSON text of its object.
    ///
    /// - Throws: `UsageError`.
    static func read(_ path: String) throws -> [String: String] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw UsageError("there is no configuration file \(path), or it may not be read")
        }
        guard let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw UsageError("the configuration file \(path) is not a JSON object")
        }
        if let name = RepeatedNames.first(in: data)?.name {
            throw UsageError("\(path): '\(name)' is given twice in one object")
        }
        var values: [String: String] = [:]
        try visit(root, prefix: "", path, into: &values)
        return values
    }

    private static func visit(
        _ object: [String: Any], prefix: String, _ path: String, into values: inout [String: String]
    ) throws {
        for (name, value) in object.sorted(by: { $0.key < $1.key }) {
            let key = prefix + name
            let setting = Setting.named(key)
            if let inner = value as? [String: Any] {
                if case .properties? = setting?.kind {
                    try set(key, try PropertyList.text(inner, key: "\(path): \(key)"), path, into: &values)
                } else {
                    try visit(inner, prefix: key + ".", path, into: &values)
                }
                continue
            }
            guard setting != nil else {
                throw UsageError("\(path): there is no setting \(key); `ml-service settings` lists them")
            }
            guard let text = plain(value) else {
                throw UsageError("\(path): \(key) is neither a text nor a number")
            }
            try set(key, text, path, into: &values)
        }
    }

    private static func set(
        _ key: String, _ text: String, _ path: String, into values: inout [String: String]
    ) throws {
        guard values.updateValue(text, forKey: key) == nil else {
            throw UsageError("\(path): \(key) is given twice")
        }
    }

    /// Texts as they are, numbers without `.0`; nil for anything else.
    static func plain(_ value: Any) -> String? {
        if let text = value as? String { return text }
        // `true` and `false` are numbers of one byte, which no other number of JSON's is.
        guard let number = value as? NSNumber, String(cString: number.objCType) != "c" else { return nil }
        return Int(exactly: number.doubleValue).map { "\($0)" } ?? "\(number.doubleValue)"
    }
}

/// Names and values of librdkafka's properties.
enum PropertyList {
    /// One text for any way of writing them: an object's JSON with sorted names.
    ///
    /// - Throws: `UsageError`.
    static func text(_ object: [String: Any], key: String) throws -> String {
        var properties: [String: String] = [:]
        for (name, value) in object {
            if let flag = value as? Bool, SettingsFile.plain(value) == nil {
                properties[name] = flag ? "true" : "false"
            } else if let text = SettingsFile.plain(value) {
                properties[name] = text
            } else {
                throw UsageError("\(key).\(name) is neither a text nor a number nor a flag")
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(properties), as: UTF8.self)
    }

    /// Reads such a text, or `name=value;name=value`, in which no value can have a semicolon.
    ///
    /// - Throws: `UsageError`, which does not show values.
    static func parse(_ text: String, key: String) throws -> [String: String] {
        if text.first(where: { !$0.isWhitespace }) == "{" {
            guard let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            else {
                throw UsageError("\(key) begins like a JSON object and is none")
            }
            return try JSONDecoder().decode(
                [String: String].self, from: Data(try self.text(object, key: key).utf8))
        }
        var properties: [String: String] = [:]
        for (index, pair) in text.split(separator: ";").enumerated() {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw UsageError(
                    "\(key): part \(index + 1) is not name=value; values with ';' go into an object in the file"
                )
            }
            properties[parts[0].trimmingCharacters(in: .whitespaces)] = String(parts[1])
        }
        return properties
    }
}
