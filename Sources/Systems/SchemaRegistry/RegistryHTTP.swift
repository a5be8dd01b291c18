import Foundation
import Logging
import Synchronization

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// An address of a schema registry that is none.
public struct RegistryAddressError: Error, CustomStringConvertible {
    public let description: String
}

extension SchemaRegistry {
    /// - Parameters:
    ///   - url: `https://registry:8081`, without user and password.
    ///   - user: Of HTTP's basic authentication; nil: none.
    /// - Throws: `RegistryAddressError`.
    public convenience init(url: String, user: String?, password: String?, logger: Logger) throws {
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
        let http = RegistryHTTP(
            base: trimmed,
            authorization: user.map {
                "Basic " + Data("\($0):\(password ?? "")".utf8).base64EncodedString()
            })
        self.init(place: trimmed, logger: logger) { path throws(NoAnswer) in try http.get(path) }
    }
}

/// Blocking requests for small answers.
private struct RegistryHTTP: Sendable {
    private static let timeoutSeconds = 3.0
    private static let maximumAnswerSize = 1 << 20

    let base: String
    let authorization: String?

    func get(_ path: String) throws(SchemaRegistry.NoAnswer) -> SchemaRegistry.Answer {
        guard let url = URL(string: base + path) else {
            throw SchemaRegistry.NoAnswer(reason: "its address is wrong")
        }
        var request = URLRequest(url: url)
        request.timeoutInterval = Self.timeoutSeconds
        request.setValue("application/vnd.schemaregistry.v1+json", forHTTPHeaderField: "Accept")
        if let authorization { request.setValue(authorization, forHTTPHeaderField: "Authorization") }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = Self.timeoutSeconds
        let collector = AnswerCollector(maximumSize: Self.maximumAnswerSize)
        let session = URLSession(configuration: configuration, delegate: collector, delegateQueue: nil)
        let task = session.dataTask(with: request)
        task.resume()
        // A server that trickles keeps a request alive beyond its own timeout.
        let isDone = collector.done.wait(timeout: .now() + Self.timeoutSeconds + 1) == .success
        if !isDone { task.cancel() }
        session.finishTasksAndInvalidate()
        guard isDone else { throw SchemaRegistry.NoAnswer(reason: "it did not answer in time") }
        return try collector.answer()
    }
}

/// What comes in during one request. A redirect is an answer like others: a password is for one server.
private final class AnswerCollector: NSObject, URLSessionDataDelegate {
    private struct State {
        var status = 0
        var body: [UInt8] = []
        var isTooLarge = false
        var failure: String?
    }

    let done = DispatchSemaphore(value: 0)
    private let maximumSize: Int
    private let state = Mutex(State())

    init(maximumSize: Int) { self.maximumSize = maximumSize }

    func answer() throws(SchemaRegistry.NoAnswer) -> SchemaRegistry.Answer {
        let state = state.withLock { $0 }
        if state.isTooLarge {
            throw SchemaRegistry.NoAnswer(reason: "its answer has more than \(maximumSize) bytes")
        }
        if let failure = state.failure { throw SchemaRegistry.NoAnswer(reason: failure) }
        return SchemaRegistry.Answer(status: state.status, body: state.body)
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        state.withLock { $0.status = (response as? HTTPURLResponse)?.statusCode ?? 0 }
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        let isTooLarge = state.withLock { state in
            state.isTooLarge = state.isTooLarge || state.body.count + data.count > maximumSize
            if !state.isTooLarge { state.body += data }
            return state.isTooLarge
        }
        if isTooLarge { dataTask.cancel() }
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        if let error {
            state.withLock { $0.failure = Self.reason(error) }
        }
        done.signal()
    }

    /// For people; Foundation's own words on Linux are a number.
    private static func reason(_ error: any Error) -> String {
        switch (error as? URLError)?.code {
        case .timedOut: "it did not answer in time"
        case .cannotConnectToHost: "nobody listens there"
        case .cannotFindHost, .dnsLookupFailed: "its name is not known"
        case .networkConnectionLost: "the connection broke off"
        case .secureConnectionFailed, .serverCertificateUntrusted, .serverCertificateHasUnknownRoot,
            .serverCertificateHasBadDate, .serverCertificateNotYetValid:
            "TLS: its certificate is refused, or it speaks no TLS"
        case let code?: "\(error.localizedDescription) (\(code.rawValue))"
        case nil: "\(error)"
        }
    }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) { completionHandler(nil) }
}
