import DetectorAPI
import Foundation
import Glibc

/// What host and detector process tell each other over their socket; what is long lies in the shared memory.
struct IsolationMessage {
    enum Kind: UInt64 {
        /// → describe; ← size of the JSON, why files and why calls are not confined: error numbers, 0: they are.
        case describe = 1
        /// → model, size of the artifact; ← columns, whether it explains, bits of the expected score.
        case decode
        /// → model, rows, columns.
        case score, explain
        /// → size of the context's JSON, rows, columns, whether there are labels; ← size and place of the artifact.
        case fit
        /// ← bits of the finished part.
        case progress
        case done
        /// ← code, size of the text.
        case failed
    }

    var kind: UInt64
    var model: UInt64 = 0
    var a: UInt64 = 0
    var b: UInt64 = 0
    var c: UInt64 = 0
    var d: UInt64 = 0

    init(_ kind: Kind, model: UInt64 = 0, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0)
    {
        (self.kind, self.model, self.a, self.b, self.c, self.d) = (kind.rawValue, model, a, b, c, d)
    }

    /// - Returns: false when the peer is gone.
    func send(to socket: Int32) -> Bool {
        withUnsafeBytes(of: self) { bytes in
            while true {
                let sent = Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                if sent >= 0 || errno != EINTR { return sent == bytes.count }
            }
        }
    }

    /// - Returns: nil when the peer is gone or says something else.
    static func receive(from socket: Int32) -> IsolationMessage? {
        var message = IsolationMessage(.done)
        let size = MemoryLayout<IsolationMessage>.size
        let count = withUnsafeMutableBytes(of: &message) { bytes in
            while true {
                let received = recv(socket, bytes.baseAddress, bytes.count, 0)
                if received >= 0 || errno != EINTR { return received }
            }
        }
        return count == size ? message : nil
    }
}

/// What a detector may throw, as a code and a text.
enum IsolatedFailure: UInt64 {
    case other = 0
    case invalidInput, invalidArtifact, cancelled, unavailable

    init(_ error: any Error) {
        switch error {
        case DetectorError.invalidInput: self = .invalidInput
        case DetectorError.invalidArtifact: self = .invalidArtifact
        case DetectorError.cancelled: self = .cancelled
        case DetectorError.unavailable: self = .unavailable
        default: self = .other
        }
    }

    static func text(_ error: any Error) -> String {
        switch error {
        case DetectorError.invalidInput(let reason), DetectorError.invalidArtifact(let reason),
            DetectorError.unavailable(let reason):
            reason
        default: "\(error)"
        }
    }

    func error(_ text: String) -> DetectorError {
        switch self {
        case .invalidInput, .other: .invalidInput(text)
        case .invalidArtifact: .invalidArtifact(text)
        case .cancelled: .cancelled
        case .unavailable: .unavailable(text)
        }
    }
}

/// How a detector in another process describes itself.
struct IsolatedDescription: Codable {
    struct Parameter: Codable {
        let name: String
        let kind: Kind
        let value: Value
        let meaning: String
    }

    enum Kind: Codable {
        case integer(Int, Int)
        case real(Double, Double)
        case boolean
        case choice([String])
    }

    enum Value: Codable {
        case integer(Int)
        case real(Double)
        case boolean(Bool)
        case text(String)
    }

    let id: String
    let version: String
    let summary: String
    let parameters: [Parameter]
    let uses: Set<FitInput>
    let needsLabels: Bool
    let vectorUnit: String?

    init(_ info: DetectorInfo) {
        (id, version, summary, uses) = (info.id, info.version, info.summary, info.uses)
        (needsLabels, vectorUnit) = (info.needsLabels, info.vectorUnit)
        parameters = info.parameters.map { specification in
            let kind: Kind =
                switch specification.kind {
                case .integer(let range): .integer(range.lowerBound, range.upperBound)
                case .real(let range): .real(range.lowerBound, range.upperBound)
                case .boolean: .boolean
                case .choice(let choices): .choice(choices)
                }
            return Parameter(
                name: specification.name, kind: kind, value: Value(specification.defaultValue),
                meaning: specification.meaning)
        }
    }

    /// - Throws: `IsolationFault` for a range or a default that cannot be.
    func info() throws -> DetectorInfo {
        let checked = try parameters.map { parameter in
            guard let kind = parameter.kind.checked, parameter.value.parameterValue.isOf(kind) else {
                throw IsolationFault(
                    "its parameter \(parameter.name) has an empty range or a default outside it")
            }
            return ParameterSpecification(
                parameter.name, kind, default: parameter.value.parameterValue, meaning: parameter.meaning)
        }
        return DetectorInfo(
            id: id, version: version, summary: summary, parameters: checked, uses: uses,
            needsLabels: needsLabels, vectorUnit: vectorUnit)
    }
}

extension IsolatedDescription.Kind {
    fileprivate var checked: ParameterSpecification.Kind? {
        switch self {
        case .integer(let low, let high): low <= high ? .integer(low...high) : nil
        case .real(let low, let high): low <= high ? .real(low...high) : nil
        case .boolean: .boolean
        case .choice(let choices): choices.isEmpty ? nil : .choice(choices)
        }
    }
}

extension IsolatedDescription.Value {
    init(_ value: ParameterValue) {
        switch value {
        case .integer(let number): self = .integer(number)
        case .real(let number): self = .real(number)
        case .boolean(let flag): self = .boolean(flag)
        case .text(let text): self = .text(text)
        }
    }

    var parameterValue: ParameterValue {
        switch self {
        case .integer(let number): .integer(number)
        case .real(let number): .real(number)
        case .boolean(let flag): .boolean(flag)
        case .text(let text): .text(text)
        }
    }
}

extension ParameterValue {
    fileprivate func isOf(_ kind: ParameterSpecification.Kind) -> Bool {
        switch (kind, self) {
        case (.integer(let range), .integer(let number)): range.contains(number)
        case (.real(let range), .real(let number)): range.contains(number)
        case (.boolean, .boolean): true
        case (.choice(let choices), .text(let text)): choices.contains(text)
        default: false
        }
    }
}

/// What fitting depends on besides rows and labels.
struct IsolatedContext: Codable {
    struct Column: Codable {
        let name: String
        /// nil: numeric.
        let cardinality: Int?
    }

    let seed: UInt64
    let parameters: [String: IsolatedDescription.Value]
    let columns: [Column]
    /// The bytes of one `Float` for each row.
    let weights: Data?

    init(_ context: FitContext) {
        seed = context.seed
        weights = context.weights.map { $0.withUnsafeBytes { Data($0) } }
        parameters = context.parameters.values.mapValues(IsolatedDescription.Value.init)
        columns = context.columns.map { column in
            if case .categorical(let cardinality) = column.kind {
                return Column(name: column.name, cardinality: cardinality)
            }
            return Column(name: column.name, cardinality: nil)
        }
    }

    func context(for info: DetectorInfo, progress: @escaping @Sendable (Double) -> Void) throws -> FitContext
    {
        FitContext(
            seed: seed, parameters: try info.checked(parameters.mapValues(\.parameterValue)),
            columns: columns.map {
                FeatureColumn(
                    name: $0.name, kind: $0.cardinality.map { .categorical(cardinality: $0) } ?? .numeric)
            },
            weights: weights.map { weights in
                weights.withUnsafeBytes { bytes in
                    (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
                }
            }, progress: progress)
    }
}
