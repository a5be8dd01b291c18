import Foundation
import HTTPTypes
import Hummingbird

/// An error answer as RFC 9457 defines it, with the field at fault.
public struct Problem: Error, Sendable {
    public let status: HTTPResponse.Status
    /// The last part of the problem's type, `invalid-request`.
    public let name: String
    /// What is wrong and what to do.
    public let detail: String
    /// A JSON pointer-like name of the field at fault, `date_range.start`; nil: none in particular.
    public let field: String?
    /// Beyond the usual ones.
    let headers: HTTPFields

    public init(
        _ status: HTTPResponse.Status, _ name: String, _ detail: String, field: String? = nil,
        headers: HTTPFields = [:]
    ) {
        self.status = status
        self.name = name
        self.detail = detail
        self.field = field
        self.headers = headers
    }

    static func invalid(_ detail: String, field: String? = nil) -> Problem {
        Problem(.unprocessableContent, "invalid-request", detail, field: field)
    }

    static func notFound(_ detail: String) -> Problem { Problem(.notFound, "not-found", detail) }

    /// Not now: try again in some seconds.
    static func later(
        _ name: String, _ detail: String, seconds: Int, status: HTTPResponse.Status = .serviceUnavailable
    ) -> Problem {
        Problem(status, name, detail, headers: [.retryAfter: "\(seconds)"])
    }

    private struct Body: Encodable {
        let type: String
        let title: String
        let status: Int
        let detail: String
        let field: String?
        let error: String?
    }

    static let contentType = "application/problem+json"

    /// - Parameter namesError: The detail is there a second time as `error`, where clients of the Open Inference Protocol
    ///   look for it.
    func json(namesError: Bool = false) throws -> Data {
        try JSONEncoder.answers.encode(
            Body(
                type: "urn:ml-service:problem:\(name)", title: status.reasonPhrase, status: status.code,
                detail: detail, field: field, error: namesError ? detail : nil))
    }

    /// - Parameter namesError: As of `json`.
    func response(namesError: Bool = false) throws -> Response {
        var response = Response.json(bytes: try json(namesError: namesError), status: status)
        response.headers[.contentType] = Self.contentType
        for header in headers { response.headers[header.name] = header.value }
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension JSONEncoder {
    /// Of answers and events: sorted keys in snake case, so that the same state gives the same bytes. Numbers that JSON
    /// lacks are the texts `nan`, `inf` and `-inf`, as in artifacts.
    static var answers: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return encoder
    }
}

extension Response {
    /// A JSON answer.
    static func json(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) throws -> Response {
        Response.json(bytes: try JSONEncoder.answers.encode(value), status: status, headers: headers)
    }

    static func json(
        bytes: some Sequence<UInt8>, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// The first `limit` items of a list; where there are more of them, `Link` names the next page.
    ///
    /// - Parameters:
    ///   - path: The route, with what it has in its segments.
    ///   - cursor: Of the last item that is shown.
    static func page<Item>(
        _ items: [Item], limit: Int, _ path: String, _ call: Call, _ view: (Item) -> some Encodable,
        cursor: (Item) -> String
    ) throws -> Response {
        let shown = items.prefix(limit)
        var response = try Response.json(shown.map(view))
        if items.count > limit, let last = shown.last { response.linkNext(path, call, cursor: cursor(last)) }
        return response
    }

    /// Names the next page of a list.
    mutating func linkNext(_ path: String, _ call: Call, cursor: String) {
        var query = call.query
        query["cursor"] = cursor
        let pairs = query.sorted { $0.key < $1.key }.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: .unreserved) ?? "")"
        }
        guard let link = HTTPField.Name("Link") else { return }
        headers[link] = "<\(path)?\(pairs.joined(separator: "&"))>; rel=\"next\""
    }

    static func text(_ text: String, contentType: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension CharacterSet {
    /// RFC 3986's: what stands in a query as it is.
    static let unreserved = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
}
