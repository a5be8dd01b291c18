import Foundation
import Logging
import Transfers

/// An address of a schema registry that is none.
public struct RegistryAddressError: Error, CustomStringConvertible {
    public let description: String
}

extension SchemaRegistry {
    /// - Parameters:
    ///   - url: `https://registry:8081`, without user and password.
    ///   - user: Of HTTP's basic authentication; nil: none.
    ///   - certificateAuthorities: PEM file of the authorities that its certificate may be of; nil: the system's.
    /// - Throws: `RegistryAddressError`.
    public convenience init(
        url: String, user: String?, password: String?, certificateAuthorities: String? = nil, logger: Logger
    ) throws {
        let trimmed = url.hasSuffix("/") ? String(url.dropLast()) : url
        guard let base = URL(string: trimmed), let host = base.host, !host.isEmpty,
            ["http", "https"].contains(base.scheme), base.query == nil, base.fragment == nil
        else {
            throw RegistryAddressError(description: "it is no address that begins with http:// or https://")
        }
        guard base.user == nil, base.password == nil else {
            throw RegistryAddressError(
                description: "user and password belong into registry.user and registry.password")
        }
        guard certificateAuthorities == nil || base.scheme == "https" else {
            throw RegistryAddressError(description: "registry.ca is for TLS: it begins with https:// then")
        }
        let http = RegistryHTTP(
            base: trimmed,
            authorization: user.map {
                "Basic " + Data("\($0):\(password ?? "")".utf8).base64EncodedString()
            },
            settings: TransferSettings(
                certificateAuthorities: certificateAuthorities, connectTimeoutMilliseconds: 3_000,
                requestTimeoutMilliseconds: 3_000, stallTimeoutSeconds: 3))
        self.init(place: trimmed, logger: logger) { path throws(NoAnswer) in try http.get(path) }
    }
}

/// Blocking requests for small answers, each on a connection of its own: there are few. A redirect is an answer like
/// others: a password is for one server.
private struct RegistryHTTP: Sendable {
    private static let maximumAnswerSize = 1 << 20

    let base: String
    let authorization: String?
    let settings: TransferSettings

    func get(_ path: String) throws(SchemaRegistry.NoAnswer) -> SchemaRegistry.Answer {
        guard let handle = CurlHandle() else {
            throw SchemaRegistry.NoAnswer(reason: "libcurl cannot start")
        }
        var headers = [(name: "Accept", value: "application/vnd.schemaregistry.v1+json")]
        if let authorization { headers.append(("Authorization", authorization)) }
        do throws(TransportError) {
            let answer = try handle.send(
                HTTPRequest(
                    method: "GET", url: base + path, headers: headers,
                    maximumAnswerSize: Self.maximumAnswerSize), settings: settings)
            return SchemaRegistry.Answer(status: answer.status, body: answer.body)
        } catch {
            throw SchemaRegistry.NoAnswer(reason: Self.reason(error))
        }
    }

    private static func reason(_ error: TransportError) -> String {
        switch error.kind {
        case .slow: "it did not answer in time"
        case .refused: "nobody listens there"
        case .unknownName: "its name is not known"
        case .untrusted:
            "TLS: its certificate is refused, or it speaks no TLS (\(error.reason)); registry.ca names its authorities"
        case .tooLarge, .other: error.reason
        }
    }
}
