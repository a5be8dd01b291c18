import HTTPTypes
import Hummingbird
import Lake
import Models
import Synchronization

/// A request that its endpoint's declaration has been checked against.
struct Call: Sendable {
    /// By name, decoded.
    let path: [String: String]
    let query: [String: String]
    let headers: HTTPFields
    let body: [UInt8]
    /// nil: the route asks for none, or reading is open.
    let identity: Identity?

    /// What the audit log is to know beside the parameters.
    let record = CallRecord()

    /// Of the path or the query.
    func text(_ name: String) -> String? { path[name] ?? query[name] }

    func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }

    /// Of a parameter of kind `version`, which has been checked.
    func version(_ name: String) -> Int? { text(name).flatMap(Self.version) }

    /// Of a parameter of kind `day`, which has been checked.
    func day(_ name: String) -> LakeDay? { text(name).flatMap { LakeDay(parsing: $0) } }

    func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }

    /// Who asks, for histories.
    var caller: String { identity?.name ?? "anybody" }

    /// The tenant that `user_id` names; none: the global one.
    var tenant: Tenant { text("user_id").map(Tenant.user) ?? .global }

    static func version(_ text: String) -> Int? {
        guard let number = Int(text.hasPrefix("v") ? text.dropFirst() : text[...]),
            ModelNumbers.versions.contains(number), text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") })
        else { return nil }
        return number
    }
}

/// What a call has done, for the audit log. Thread-safe.
final class CallRecord: Sendable {
    private let members = Mutex<[String: String]>([:])

    var all: [String: String] { members.withLock { $0 } }

    func set(_ name: String, _ value: String?) { members.withLock { $0[name] = value } }
}

extension Endpoint.Parameter {
    /// - Throws: `Problem` 422 naming this parameter.
    func check(_ value: String) throws {
        switch kind {
        case .text(let range):
            guard range.contains(value.utf8.count) else {
                throw Problem.invalid("it has \(range.lowerBound) to \(range.upperBound) bytes", field: name)
            }
        case .integer(let range):
            guard let number = Int(value), range.contains(number) else {
                throw Problem.invalid(
                    "it is a whole number from \(range.lowerBound) to \(range.upperBound)", field: name)
            }
        case .choice(let choices):
            guard choices.contains(value) else {
                throw Problem.invalid("it is one of \(choices.joined(separator: ", "))", field: name)
            }
        case .day:
            guard LakeDay(parsing: value) != nil else {
                throw Problem.invalid("'\(value)' is no day; write 2026-01-31", field: name)
            }
        case .versionName:
            guard VersionName(parsing: value) != nil else {
                throw Problem.invalid(
                    "'\(value)' is no version; write 3 or v3, champion, challenger or previous", field: name)
            }
        case .version:
            guard Call.version(value) != nil else {
                throw Problem.invalid("'\(value)' is no version; write 3 or v3", field: name)
            }
        }
    }
}
