import Foundation
import Hummingbird

/// An error answer as RFC 9457 defines it, with the field at fault.
public struct Problem: HTTPResponseError, Sendable {
    public let status: HTTPResponse.Status
    /// The last part of the problem's type, `invalid-request`.
    public let name: String
    /// What is wrong and what to do.
    public let detail: String
    /// A JSON pointer-like name of the field at fault, `date_range.start`; nil: none in particular.
    public let field: String?

    public init(_ status: HTTPResponse.Status, _ name: String, _ detail: String, field: String? = nil) {
        self.status = status
        self.name = name
        self.detail = detail
        self.field = field
    }

    static func invalid(_ detail: String, field: String? = nil) -> Problem {
        Problem(.unprocessableContent, "invalid-request", detail, field: field)
    }

    static func notFound(_ detail: String) -> Problem { Problem(.notFound, "not-found", detail) }

    private struct Body: Encodable {
        let type: String
        let title: String
        let status: Int
        let detail: String
        let field: String?
    }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        let body = Body(
            type: "urn:ml-service:problem:\(name)", title: status.reasonPhrase, status: Int(status.code),
            detail: detail, field: field)
        var response = try Response.json(body, status: status)
        response.headers[.contentType] = "application/problem+json"
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension Response {
    /// A JSON answer with sorted keys in snake case, so that the same state gives the same bytes.
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let bytes = try encoder.encode(value)
        return Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}

/// Turns every error that a route throws into a problem, and logs those that are our own.
struct ProblemMiddleware<Context: RequestContext>: RouterMiddleware {
    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let problem as Problem {
            return try problem.response(from: request, context: context)
        } catch let error as HTTPError {
            let detail = error.body ?? (error.status == .notFound ? "there is no \(request.uri.path)" : "")
            return try Problem(error.status, "http", detail).response(from: request, context: context)
        } catch {
            context.logger.error(
                "a request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            return try Problem(.internalServerError, "internal", "\(error)").response(
                from: request, context: context)
        }
    }
}
