import CForestKernels
import Configuration
import Foundation

/// Everything that can be configured, in one table: reading, `ml-service settings` and the unknown-key check
/// use it.
///
/// A value comes from the defaults, then the configuration file, then `ML_SERVICE_*`, then flags.
struct Setting: Sendable {
    enum Kind: Sendable {
        case text
        /// May also come from a file: `admin.key_file`, `ML_SERVICE_ADMIN_KEY_FILE`.
        case secret
        /// Names and values; secret, too.
        case properties
        case integer(ClosedRange<Int>)
        case real(ClosedRange<Double>)
        case choice([String])
    }

    /// Dotted, as in the file: `http.port`; the environment's name is `ML_SERVICE_HTTP_PORT`.
    let key: String
    let kind: Kind
    /// Empty: none.
    let defaultValue: String
    let meaning: String

    var isSecret: Bool {
        switch kind {
        case .secret, .properties: true
        default: false
        }
    }

    /// Of settings with a default, those of which an empty text says that there is none.
    private static let mayBeEmpty: Set<String> = ["labels.topic", "redis.prefix"]

    /// Whether an empty text says that there is none; elsewhere it is no value.
    var takesEmpty: Bool { defaultValue.isEmpty || Self.mayBeEmpty.contains(key) }

    var environmentName: String {
        "ML_SERVICE_" + key.uppercased().replacing(".", with: "_")
    }
}

/// The settings in force.
struct Settings: Sendable {
    private let values: [String: String]

    /// - Parameters:
    ///   - file: A JSON configuration file, nested or with dotted keys; nil: `ML_SERVICE_CONFIG`, or none.
    ///   - flags: What the command line gave, by key.
    ///   - notice: Told of what was put right.
    /// - Throws: `UsageError` naming the key and where to look.
    static func load(
        file: String?, flags: [String: String],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        notice: (String) -> Void = { FileHandle.standardError.write(Data("ml-service: \($0)\n".utf8)) }
    ) async throws -> Settings {
        try VectorUnit.checkVariable(environment)
        let file = file ?? environment["ML_SERVICE_CONFIG"]
        let variables = Dictionary(
            uniqueKeysWithValues: (Setting.all + Setting.all.compactMap(\.file)).compactMap { setting in
                environment[setting.environmentName].map { (setting.key, $0) }
            })
        let sources = [
            (name: "flags", values: flags), (name: "environment", values: variables),
            (name: "file", values: try file.map(SettingsFile.read) ?? [:]),
        ]
        let reader = ConfigReader(
            providers: sources.map { source in
                InMemoryProvider(
                    name: source.name,
                    values: Dictionary(
                        uniqueKeysWithValues: source.values.compactMap { key, value in
                            let setting = Setting.named(key)
                            guard !value.isEmpty || setting?.takesEmpty ?? true else { return nil }
                            return (
                                AbsoluteConfigKey(key.split(separator: ".").map(String.init)),
                                ConfigValue(.string(value), isSecret: setting?.isSecret ?? false)
                            )
                        }))
            })
        var values: [String: String] = [:]
        for setting in Setting.all {
            var text = reader.string(forKey: ConfigKey(setting.key))
            if let secretFile = setting.file, let path = reader.string(forKey: ConfigKey(secretFile.key)),
                !path.isEmpty
            {
                guard text?.isEmpty ?? true else {
                    throw UsageError("both \(setting.key) and \(secretFile.key) are given; leave one out")
                }
                text = try secretFile.content(path)
            }
            if setting.isSecret { text = text.map { setting.withoutLineEnd($0, notice) } }
            values[setting.key] = try setting.checked(text ?? setting.defaultValue)
        }
        return Settings(values: values)
    }

    /// Variables that start as ours do and name no setting: a misspelt one, or what an orchestrator sets for a service
    /// of this name.
    static func unknownVariables(_ environment: [String: String]) -> [String] {
        let files = Setting.all.compactMap(\.file).map(\.environmentName)
        let others = ["ML_SERVICE_CONFIG", "ML_SERVICE_LIGHTGBM", VectorUnit.variable]
        let known = Set(Setting.all.map(\.environmentName) + files + others)
        return environment.keys.filter { $0.hasPrefix("ML_SERVICE_") && !known.contains($0) }.sorted()
    }

    /// The same but for some values, which are checked as flags are.
    ///
    /// - Throws: `UsageError` naming the key.
    func changing(_ changes: [String: String]) throws -> Settings {
        let checked = try Dictionary(
            uniqueKeysWithValues: changes.map { key, value in
                guard let setting = Setting.named(key) else { throw UsageError("there is no setting \(key)") }
                return (key, try setting.checked(value))
            })
        return Settings(values: values.merging(checked) { $1 })
    }

    func text(_ key: String) -> String { values[key] ?? "" }
    /// nil when empty.
    func optionalText(_ key: String) -> String? { values[key].flatMap { $0.isEmpty ? nil : $0 } }
    func integer(_ key: String) -> Int { Int(text(key)) ?? 0 }
    func real(_ key: String) -> Double { Double(text(key)) ?? 0 }

    /// The names and values of a setting of that kind, which has been checked.
    func properties(_ key: String) throws -> [String: String] {
        try PropertyList.parse(text(key), key: key)
    }

    /// A path below the data directory.
    func dataPath(_ name: String) -> String { text("data.directory") + "/" + name }

    /// Every setting with its value, secrets hidden.
    var described: [(setting: Setting, value: String)] {
        Setting.all.map { setting in
            let value = text(setting.key)
            if setting.isSecret, !value.isEmpty { return (setting, "(set)") }
            return (setting, value)
        }
    }
}

extension Setting {
    /// - Throws: `UsageError` for a value of the wrong kind.
    fileprivate func checked(_ given: String) throws -> String {
        let value = given.isEmpty && !takesEmpty ? defaultValue : given
        if case .properties = kind { _ = try PropertyList.parse(value, key: key) }
        let isRight =
            switch kind {
            case .text, .secret, .properties: true
            case .integer(let range): Int(value).map(range.contains) ?? false
            case .real(let range): Double(value).map(range.contains) ?? false
            case .choice(let choices): choices.contains(value)
            }
        guard isRight else {
            throw UsageError("\(key) (\(environmentName)) cannot be '\(value)': it is \(kind.words)")
        }
        return value
    }
}

extension Setting {
    /// The setting that names a file with this secret; nil: it is none.
    fileprivate var file: Setting? { isSecret ? Setting.named(key + "_file") : nil }

    /// The secret in a file that this setting names.
    fileprivate func content(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw UsageError("\(key) (\(environmentName)): \(path) is not there, or may not be read")
        }
        guard let text = String(data: data, encoding: .utf8), data.count <= 65_536 else {
            throw UsageError("\(key) (\(environmentName)): \(path) holds no text of at most 64 KiB")
        }
        return text
    }

    /// Editors and `echo` end a line where nobody meant one.
    fileprivate func withoutLineEnd(_ secret: String, _ notice: (String) -> Void) -> String {
        let trimmed = secret.trimmingSuffix { $0.isNewline }
        if trimmed.count != secret.count { notice("the end of a line behind \(key) was left out") }
        return String(trimmed)
    }
}

extension String {
    fileprivate func trimmingSuffix(_ isUnwanted: (Character) -> Bool) -> Substring {
        var text = self[...]
        while let last = text.last, isUnwanted(last) { text.removeLast() }
        return text
    }
}

extension Setting.Kind {
    var words: String {
        switch self {
        case .text: "text"
        case .secret: "text, kept secret; or a file that holds it, by the name with _file behind it"
        case .properties: "names and values, kept secret"
        case .integer(let range) where range.upperBound == .max: "a whole number from \(range.lowerBound)"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .real(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
        case .choice(let choices): "one of \(choices.joined(separator: ", "))"
        }
    }
}

extension VectorUnit {
    /// Names the loops that score; for measurements.
    static let variable = "ML_SERVICE_VECTOR_UNIT"

    /// - Throws: `UsageError` for a name that no unit has. One that this processor lacks gives way to another.
    fileprivate static func checkVariable(_ environment: [String: String]) throws {
        guard let name = environment[variable], !name.isEmpty else { return }
        let names = (0..<UInt32(VECTOR_UNIT_COUNT)).compactMap(VectorUnit.init(rawValue:)).map {
            String(cString: $0.cVariableName)
        }
        guard !names.contains(name) else { return }
        throw UsageError("\(variable) cannot be '\(name)': it is one of \(names.joined(separator: ", "))")
    }
}

/// Wrong usage: exit code 64.
struct UsageError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
