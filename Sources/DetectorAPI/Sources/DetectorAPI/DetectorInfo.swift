/// What a detector is called, what it can be told, and what it can do.
public struct DetectorInfo: Sendable, Hashable {
    /// Lower-case words joined by hyphens, `isolation-forest`; unique among the loaded detectors.
    public let id: String
    /// The version of the algorithm and of its artifacts, `1.0.0`.
    public let version: String
    /// One sentence for people.
    public let summary: String
    public let parameters: [ParameterSpecification]
    /// What `fit` makes use of besides rows of numbers. The host gives it nothing else.
    public let uses: Set<FitInput>
    /// Whether it can be fitted with labels of both kinds only; without, or with too few, `fit` throws `.invalidInput` that
    /// says how many it found and how many it wants.
    public let needsLabels: Bool
    /// The processor's unit that its loops run on, `AVX2`; nil: none in particular. Scores do not depend on it.
    public let vectorUnit: String?

    public init(
        id: String, version: String, summary: String, parameters: [ParameterSpecification],
        uses: Set<FitInput> = [], needsLabels: Bool = false, vectorUnit: String? = nil
    ) {
        self.id = id
        self.version = version
        self.summary = summary
        self.parameters = parameters
        self.uses = uses
        self.needsLabels = needsLabels
        self.vectorUnit = vectorUnit
    }

    /// The parameters to fit with: what was given, checked, and defaults for the rest.
    ///
    /// - Throws: `DetectorError.invalidParameter` naming the first that is unknown, of the wrong type or out
    ///   of range.
    public func checked(_ given: [String: ParameterValue]) throws -> ParameterValues {
        let known = Set(parameters.map(\.name))
        if let stranger = given.keys.filter({ !known.contains($0) }).min() {
            let names = parameters.map(\.name).joined(separator: ", ")
            throw DetectorError.invalidParameter(
                name: stranger, reason: "\(id) has no such parameter; it has: \(names)")
        }
        var values: [String: ParameterValue] = [:]
        for specification in parameters {
            values[specification.name] =
                try given[specification.name].map(specification.checked)
                ?? specification.defaultValue
        }
        return ParameterValues(values)
    }
}

/// What a detector may make use of when it fits. One that says nothing of it never gets it: it would take codes of
/// categories for numbers, and rows of no weight for others.
public enum FitInput: String, Sendable, Hashable, Codable, CaseIterable {
    /// Columns of kind `.categorical`.
    case categories
    /// `FitContext.weights`.
    case weights
    /// Columns of what labels of earlier transactions say of merchants, devices, countries, categories and users: of
    /// use to a detector that learns from labels.
    case references
}

/// One parameter: its type, range, default and meaning.
public struct ParameterSpecification: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case integer(ClosedRange<Int>)
        case real(ClosedRange<Double>)
        case boolean
        case choice([String])
    }

    public let name: String
    public let kind: Kind
    public let defaultValue: ParameterValue
    public let meaning: String

    /// - Precondition: The default is of the kind and in range.
    public init(_ name: String, _ kind: Kind, default defaultValue: ParameterValue, meaning: String) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.meaning = meaning
        precondition((try? checked(defaultValue)) == defaultValue, "the default of \(name) is out of range")
    }

    /// The value, with a whole number accepted where a real one is wanted.
    ///
    /// - Throws: `DetectorError.invalidParameter`.
    public func checked(_ value: ParameterValue) throws -> ParameterValue {
        switch (kind, value) {
        case (.integer(let range), .integer(let number)) where range.contains(number): return value
        case (.real(let range), .real(let number)) where range.contains(number): return value
        case (.real(let range), .integer(let number)) where range.contains(Double(number)):
            return .real(Double(number))
        case (.boolean, .boolean): return value
        case (.choice(let choices), .text(let text)) where choices.contains(text): return value
        default:
            throw DetectorError.invalidParameter(name: name, reason: "\(value) is not \(kind)")
        }
    }
}

extension ParameterSpecification.Kind: CustomStringConvertible {
    public var description: String {
        switch self {
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .real(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
        case .boolean: "true or false"
        case .choice(let choices): "one of \(choices.joined(separator: ", "))"
        }
    }
}

public enum ParameterValue: Sendable, Hashable, CustomStringConvertible {
    case integer(Int)
    case real(Double)
    case boolean(Bool)
    case text(String)

    /// Reads what a person typed: a whole number, a number, true or false, or else text.
    public init(parsing text: String) {
        if let number = Int(text) {
            self = .integer(number)
        } else if let number = Double(text), number.isFinite {
            self = .real(number)
        } else if let flag = Bool(text) {
            self = .boolean(flag)
        } else {
            self = .text(text)
        }
    }

    public var description: String {
        switch self {
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .text(let text): text
        }
    }
}

/// Parameters that `DetectorInfo.checked(_:)` has checked; asking for one of another type is a bug.
public struct ParameterValues: Sendable, Hashable {
    public let values: [String: ParameterValue]

    init(_ values: [String: ParameterValue]) { self.values = values }

    public func integer(_ name: String) -> Int {
        guard case .integer(let value) = values[name] else { preconditionFailure("\(name) is no integer") }
        return value
    }

    public func real(_ name: String) -> Double {
        guard case .real(let value) = values[name] else { preconditionFailure("\(name) is no real") }
        return value
    }

    public func boolean(_ name: String) -> Bool {
        guard case .boolean(let value) = values[name] else { preconditionFailure("\(name) is no boolean") }
        return value
    }

    public func choice(_ name: String) -> String {
        guard case .text(let value) = values[name] else { preconditionFailure("\(name) is no choice") }
        return value
    }
}
