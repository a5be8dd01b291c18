import CDetectorPlugin
import DetectorAPI

/// Why a plugin in plain C broke its contract.
struct PlainFault: Error, Hashable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Reads how a plugin in plain C describes itself. A plugin is code and could lie about any pointer; what can
/// be checked is checked, the rest is what the probe is for.
struct PlainDescription {
    static let maximumParameterCount = 256
    static let maximumChoiceCount = 64
    static let maximumTextSize = 4_096

    let info: DetectorInfo

    /// - Throws: `PlainFault` naming the field.
    init(checking table: detector_plugin_c) throws(PlainFault) {
        guard table.parameter_count <= Self.maximumParameterCount else {
            throw PlainFault(
                "it has \(table.parameter_count) parameters; \(Self.maximumParameterCount) are allowed")
        }
        let described = UnsafeBufferPointer(start: table.parameters, count: Int(table.parameter_count))
        guard table.parameter_count == 0 || table.parameters != nil else {
            throw PlainFault("its parameters are NULL")
        }
        var parameters: [ParameterSpecification] = []
        for parameter in described { parameters.append(try Self.parameter(parameter)) }
        info = DetectorInfo(
            id: try Self.text(table.id, "its id"), version: try Self.text(table.version, "its version"),
            summary: try Self.text(table.summary, "its summary"), parameters: parameters)
        if let complaint = TrialRun.complaint(about: info) { throw PlainFault(complaint) }
    }

    private static func parameter(_ parameter: detector_parameter) throws(PlainFault)
        -> ParameterSpecification
    {
        let name = try text(parameter.name, "a parameter's name")
        let (kind, value) = try kindAndDefault(parameter, name)
        let isInRange: Bool
        switch (kind, value) {
        case (.integer(let range), .integer(let number)): isInRange = range.contains(number)
        case (.real(let range), .real(let number)): isInRange = range.contains(number)
        default: isInRange = true
        }
        guard isInRange else { throw PlainFault("the default of its parameter \(name) is not \(kind)") }
        return ParameterSpecification(
            name, kind, default: value, meaning: try text(parameter.meaning, "the meaning of \(name)"))
    }

    private static func kindAndDefault(_ parameter: detector_parameter, _ name: String) throws(PlainFault)
        -> (ParameterSpecification.Kind, ParameterValue)
    {
        let (low, high, value) = (parameter.minimum, parameter.maximum, parameter.default_value)
        switch parameter.kind {
        case DETECTOR_INTEGER:
            guard low.integer <= high.integer else { break }
            return (.integer(Int(low.integer)...Int(high.integer)), .integer(Int(value.integer)))
        case DETECTOR_REAL:
            guard low.real.isFinite, high.real.isFinite, low.real <= high.real else { break }
            return (.real(low.real...high.real), .real(value.real))
        case DETECTOR_BOOLEAN:
            guard value.integer == 0 || value.integer == 1 else {
                throw PlainFault("the default of its parameter \(name) is neither 0 nor 1")
            }
            return (.boolean, .boolean(value.integer == 1))
        case DETECTOR_CHOICE:
            let choices = try Self.choices(of: parameter, name)
            guard choices.indices.contains(Int(value.integer)) else {
                throw PlainFault("the default of its parameter \(name) is none of its choices")
            }
            return (.choice(choices), .text(choices[Int(value.integer)]))
        default:
            throw PlainFault("its parameter \(name) is of kind \(parameter.kind), which is not known")
        }
        throw PlainFault("the range of its parameter \(name) is empty")
    }

    private static func choices(of parameter: detector_parameter, _ name: String) throws(PlainFault)
        -> [String]
    {
        guard (1...maximumChoiceCount).contains(Int(parameter.choice_count)), let pointers = parameter.choices
        else { throw PlainFault("its parameter \(name) has no choices, or more than \(maximumChoiceCount)") }
        var choices: [String] = []
        for pointer in UnsafeBufferPointer(start: pointers, count: Int(parameter.choice_count)) {
            let choice = try text(pointer, "a choice of \(name)")
            guard !choices.contains(choice) else {
                throw PlainFault("its parameter \(name) has the choice \(choice) twice")
            }
            choices.append(choice)
        }
        return choices
    }

    private static func text(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(PlainFault) -> String {
        guard let pointer else { throw PlainFault("\(what) is NULL") }
        let size = (0...maximumTextSize).first { pointer[$0] == 0 }
        guard let size else { throw PlainFault("\(what) is longer than \(maximumTextSize) bytes") }
        let characters = UnsafeBufferPointer(start: pointer, count: size)
        guard let text = String(validating: characters, as: UTF8.self) else {
            throw PlainFault("\(what) is not UTF-8")
        }
        return text
    }
}
