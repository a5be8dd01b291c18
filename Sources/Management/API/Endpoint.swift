import HTTPTypes
import Hummingbird

/// One route, declared once: the responder answers by it, checks what comes by it, and `/openapi.json` and docs/api.md
/// are written from it.
///
///     Endpoint(
///         .get, "/v1/train/{job_id}", name: "job", summary: "A training job", scope: .read,
///         parameters: [.path("job_id", .text(1...64), "The job's id")],
///         answers: [.ok("The job", "Job"), .problem(.notFound, "There is no such job")]
///     ) { call, services in try Response.json(...) }
struct Endpoint: Sendable {
    let method: HTTPRequest.Method
    /// Segments; those in braces are parameters.
    let path: String
    /// `operationId`: what generated clients call it.
    let name: String
    let summary: String
    /// More than the summary says, Markdown; empty: nothing.
    let details: String
    /// What a key must allow; nil: anybody may call it.
    let scope: Scope?
    let parameters: [Parameter]
    let body: Body?
    /// Of success and of what is this route's own; every route may answer with the problems in `commonProblems`.
    let answers: [Answer]
    /// Whether a call that comes again with its `Idempotency-Key` is answered here, and not by the route itself.
    let isAnsweredOnce: Bool
    let handle: @Sendable (Call, ManagementServices) async throws -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, name: String, summary: String, details: String = "",
        scope: Scope?, parameters: [Parameter] = [], body: Body? = nil, answers: [Answer],
        _ handle: @escaping @Sendable (Call, ManagementServices) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.name = name
        self.summary = summary
        self.details = details
        self.scope = scope
        isAnsweredOnce =
            Self.isChanging(method, scope) && !parameters.contains { $0.name == Self.idempotencyKey.name }
        self.parameters = parameters + (isAnsweredOnce ? [Self.idempotencyKey] : [])
        self.body = body
        self.answers =
            answers
            + (isAnsweredOnce
                ? [
                    .problem(.conflict, "The idempotency key came with another request, or one that goes on"),
                    .problem(.gone, "The first call's answer named a user who has been erased since"),
                ]
                : [])
        self.handle = handle
    }

    /// Whether a call of it may change something, and is written into the audit log.
    var isChanging: Bool { Self.isChanging(method, scope) }

    private static func isChanging(_ method: HTTPRequest.Method, _ scope: Scope?) -> Bool {
        method != .get && scope != .score && scope != nil
    }

    private static let idempotencyKey = Parameter.header(
        "Idempotency-Key", .text(1...256),
        "Sent again with it within a day, the call gets the first one's answer and changes nothing more.")

    /// The path's segments, without the slashes.
    var segments: [Substring] { path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) }
}

extension Endpoint {
    /// What a caller may say in the path, the query or a header.
    struct Parameter: Sendable {
        enum Place: String, Sendable { case path, query, header }

        enum Kind: Sendable {
            /// So many bytes of UTF-8.
            case text(ClosedRange<Int>)
            case integer(ClosedRange<Int>)
            case choice([String])
            /// `2026-01-31`
            case day
            /// `3` or `v3`.
            case version
            /// The same, or `champion`, `challenger`, `previous`.
            case versionName
        }

        let name: String
        let place: Place
        let kind: Kind
        let meaning: String
        let example: JSONValue?

        static func path(_ name: String, _ kind: Kind, _ meaning: String, example: JSONValue? = nil) -> Self {
            Self(name: name, place: .path, kind: kind, meaning: meaning, example: example)
        }

        static func query(_ name: String, _ kind: Kind, _ meaning: String, example: JSONValue? = nil) -> Self
        {
            Self(name: name, place: .query, kind: kind, meaning: meaning, example: example)
        }

        static func header(_ name: String, _ kind: Kind, _ meaning: String) -> Self {
            Self(name: name, place: .header, kind: kind, meaning: meaning, example: nil)
        }
    }

    /// What a caller sends.
    struct Body: Sendable {
        /// Of the schemas in `Schemas.all`.
        let schema: String
        let example: JSONValue
        var maximumBytes = 1 << 20
    }

    /// What a caller gets.
    struct Answer: Sendable {
        let status: HTTPResponse.Status
        let meaning: String
        /// Of the schemas in `Schemas.all`; nil: no body, or text.
        let schema: String?
        var isArray = false
        var contentType = "application/json"

        static func ok(_ meaning: String, _ schema: String) -> Self {
            Self(status: .ok, meaning: meaning, schema: schema)
        }

        static func list(_ meaning: String, of schema: String) -> Self {
            Self(status: .ok, meaning: meaning, schema: schema, isArray: true)
        }

        static func problem(_ status: HTTPResponse.Status, _ meaning: String) -> Self {
            Self(status: status, meaning: meaning, schema: "Problem", contentType: "application/problem+json")
        }

        static func text(_ meaning: String, _ contentType: String) -> Self {
            Self(status: .ok, meaning: meaning, schema: nil, contentType: contentType)
        }
    }

    static let userID = Parameter.query(
        "user_id", .text(1...256), "Whose model; without it: the global one.", example: "user-000001")
}
