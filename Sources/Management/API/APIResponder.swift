import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import NIOCore

/// What Hummingbird tells of a connection.
struct APIContext: InitializableFromSource, Sendable {
    let logger: Logger
    /// The client's address; nil: not known.
    let remote: String?

    init(source: ApplicationRequestContextSource) {
        logger = source.logger
        remote = source.channel.remoteAddress?.ipAddress
    }
}

/// Answers requests by a table of endpoints: finds the one that is meant, checks key, path, query and body against its
/// declaration, and turns every error into a problem. No part of a request's target is passed over in silence.
struct APIResponder: HTTPResponder {
    typealias Context = APIContext

    let endpoints: [Endpoint]
    let services: ManagementServices

    func respond(to request: Request, context: APIContext) async throws -> Response {
        let start = ContinuousClock.now
        var route = "none"
        let response: Response
        do {
            response = try await answer(request, context, route: &route)
        } catch {
            let problem = Problem(of: error)
            if problem.status.code >= 500 {
                context.logger.error(
                    "a request failed",
                    metadata: ["path": "\(request.uri.path)", "error": "\(problem.detail)"])
            }
            response = try problem.response(namesError: request.uri.path.hasPrefix("/v2"))
        }
        count(route, response.status, ContinuousClock.now - start)
        return request.method == .head ? response.createHeadResponse() : response
    }

    /// - Parameter route: An endpoint's name: a path may name a user.
    private func count(_ route: String, _ status: HTTPResponse.Status, _ duration: Duration) {
        Counter(
            label: "ml_http_requests_total",
            dimensions: [("route", route), ("status", "\(status.code / 100)xx")], factory: services.metrics
        ).increment()
        Timer(
            label: "ml_http_request_seconds", dimensions: [("route", route)], factory: services.metrics
        ).recordNanoseconds(Int64(duration / .nanoseconds(1)))
    }

    /// - Parameter route: Set to the endpoint's name once it is found.
    private func answer(
        _ request: Request, _ context: APIContext, route: inout String
    ) async throws -> Response {
        // The server as a whole, RFC 9110 section 9.3.7.
        if request.method == .options, request.head.path == "*" {
            return Response(
                status: .noContent, headers: [.allow: Self.allowed(endpoints.map(\.method))])
        }
        let segments = try Self.segments(request.uri.path)
        let candidates = endpoints.compactMap { endpoint in
            Self.match(segments, endpoint).map { (endpoint: endpoint, path: $0) }
        }
        guard !candidates.isEmpty else { throw Problem.notFound("there is no \(request.uri.path)") }
        let wanted: HTTPRequest.Method = request.method == .head ? .get : request.method
        guard let (endpoint, path) = candidates.first(where: { $0.endpoint.method == wanted }) else {
            let allowed = Self.allowed(candidates.map(\.endpoint.method))
            if request.method == .options { return Response(status: .noContent, headers: [.allow: allowed]) }
            throw Problem(
                .methodNotAllowed, "method-not-allowed", "\(request.uri.path) knows \(allowed)",
                headers: [.allow: allowed])
        }
        route = endpoint.name
        let identity = try await identity(of: request, endpoint, context)
        let query = try Self.query(request.uri.query ?? "")
        try Self.check(endpoint, path: path, query: query, headers: request.headers)
        let body = try await Self.body(request, endpoint)
        let call = Call(path: path, query: query, headers: request.headers, body: body, identity: identity)
        return try await services.audited(call, endpoint, address: context.remote) {
            try await services.once(call, endpoint) { try await endpoint.handle(call, services) }
        }
    }

    private func identity(
        of request: Request, _ endpoint: Endpoint, _ context: APIContext
    ) async throws -> Identity? {
        do {
            return try services.keys.identity(of: request, for: endpoint.scope, from: context.remote)
        } catch let problem as Problem {
            if KeyRing.hasKey(request) {
                await services.noteRefusal(problem, endpoint, address: context.remote)
            }
            throw problem
        }
    }

    private static func allowed(_ methods: [HTTPRequest.Method]) -> String {
        let all = methods.map(\.rawValue) + (methods.contains(.get) ? ["HEAD"] : []) + ["OPTIONS"]
        return Set(all).sorted().joined(separator: ", ")
    }

    // MARK: Target

    /// The path's segments, decoded.
    private static func segments(_ path: String) throws -> [String] {
        try path.dropFirst(path.hasPrefix("/") ? 1 : 0).split(
            separator: "/", omittingEmptySubsequences: false
        ).map { try decoded($0, "path") }
    }

    /// - Returns: The parameters in the path; nil: it is another path.
    private static func match(_ segments: [String], _ endpoint: Endpoint) -> [String: String]? {
        let pattern = endpoint.segments
        guard pattern.count == segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (part, segment) in zip(pattern, segments) {
            if part.hasPrefix("{") {
                parameters[String(part.dropFirst().dropLast())] = segment
            } else if part != segment {
                return nil
            }
        }
        return parameters
    }

    private static func query(_ text: String) throws -> [String: String] {
        var values: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try decoded(parts[0], "query")
            let value = try decoded(parts.count > 1 ? parts[1] : "", name)
            guard values.updateValue(value, forKey: name) == nil else {
                throw Problem.invalid("it is given twice", field: name)
            }
        }
        return values
    }

    private static func decoded(_ text: Substring, _ field: String) throws -> String {
        guard let decoded = text.removingPercentEncoding else {
            throw Problem(
                .badRequest, "invalid-target", "'\(text)' is not percent-encoded UTF-8", field: field)
        }
        return decoded
    }

    private static func check(
        _ endpoint: Endpoint, path: [String: String], query: [String: String], headers: HTTPFields
    ) throws {
        let known = endpoint.parameters.filter { $0.place == .query }.map(\.name)
        // A misspelt `user_id` would promote the global model.
        if let stranger = query.keys.filter({ !known.contains($0) }).min() {
            let names = known.isEmpty ? "none" : known.joined(separator: ", ")
            throw Problem.invalid("there is no such query parameter; there are: \(names)", field: stranger)
        }
        for parameter in endpoint.parameters {
            let value =
                switch parameter.place {
                case .path: path[parameter.name]
                case .query: query[parameter.name]
                case .header: HTTPField.Name(parameter.name).flatMap { headers[$0] }
                }
            if let value { try parameter.check(value) }
        }
    }

    private static func body(_ request: Request, _ endpoint: Endpoint) async throws -> [UInt8] {
        var request = request
        guard let declared = endpoint.body else {
            // What a body asks for would be passed over in silence. Some clients send an empty object with every call.
            let bytes = try? await request.collectBody(upTo: 64).readableBytesView
            guard let bytes, ["", "{}"].contains(String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self))
            else {
                throw Problem(
                    .unprocessableContent, "invalid-request",
                    "this call takes no body; what it takes are parameters of the path and query")
            }
            return []
        }
        if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
            throw Problem(
                .unsupportedMediaType, "content-encoding", "the body is '\(encoding)': send it as it is",
                field: "Content-Encoding", headers: [.acceptEncoding: "identity"])
        }
        do {
            let buffer = try await request.collectBody(upTo: declared.maximumBytes)
            return Array(buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw Problem(
                .contentTooLarge, "too-large", "the body has at most \(declared.maximumBytes) bytes")
        } catch let error as CancellationError {
            throw error
        } catch {
            // The request is not as HTTP has it: a chunk's length that is none.
            throw Problem(.badRequest, "invalid-body", "the body cannot be read: \(error)")
        }
    }
}
