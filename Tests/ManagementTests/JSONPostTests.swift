import Foundation
import Logging
import Synchronization
import Testing

@testable import Management

/// What webhooks and spans are sent by. Our own API plays the receiver: that it answers at all is what is asked.
@Suite(.enabled(if: Authority.isPossible)) struct JSONPostTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func post(_ url: String, _ authorities: String? = nil) -> JSONPost {
        JSONPost(url: url, authorities: authorities, authoritiesSetting: "webhooks.ca", timeoutSeconds: 30)
    }

    @Test func theReceiversCertificateIsOfAnAuthorityThatIsNamed() async throws {
        let (authority, other) = (try Authority(), try Authority())
        try authority.issue("server")
        let api = try await TestAPI(
            tls: TLSFiles(
                certificate: authority.path("server.pem"), key: authority.path("server.key"),
                clientAuthorities: nil, logger: logger))
        let url = "https://localhost:\(api.port)/nowhere"
        let known = post(url, authority.path("authority.pem"))
        for _ in 0..<2 { #expect(try await known.send(Array("{}".utf8)) == 404) }
        // Of the system's authorities none vouches for it, nor does another one.
        for authorities in [nil, other.path("authority.pem"), "/nowhere/ca.pem"] {
            let error = await #expect(throws: JSONPost.NoAnswer.self) {
                try await post(url, authorities).send([])
            }
            let text = error?.description ?? ""
            #expect(text.contains("TLS") && text.contains("webhooks.ca"), "\(text)")
        }
        withExtendedLifetime(other) {}
    }

    @Test func headersAndBodyArrive() async throws {
        let api = try await TestAPI()
        let rules = post("http://localhost:\(api.port)/v1/rules")
        let rule = Array(#"{"id":"r","action":"suppress","user_id":"u","reason":"r"}"#.utf8)
        #expect(try await rules.send(rule) == 401)
        #expect(try await rules.send(rule, headers: [("X-Admin-Key", TestAPI.key)]) / 100 == 2)
    }

    @Test func whoIsAwayIsSaidToBe() async throws {
        let error = await #expect(throws: JSONPost.NoAnswer.self) {
            try await post("http://localhost:1/").send([])
        }
        #expect(error?.description.contains("localhost") == true, "\(String(describing: error))")
    }

    /// A receiver that is slow does not hold up the end of the process.
    @Test func whoIsCancelledDoesNotWait() async throws {
        let listener = try SilentListener()
        let sending = Task { [url = "http://127.0.0.1:\(listener.port)/"] in
            try await JSONPost(url: url, authorities: nil, authoritiesSetting: "", timeoutSeconds: 600).send(
                [])
        }
        try await blocking { listener.awaitConnection() }
        sending.cancel()
        await #expect(throws: CancellationError.self) { try await sending.value }
    }
}

/// Takes a connection and says nothing.
private final class SilentListener: Sendable {
    let port: Int
    private let descriptor: Int32
    private let connection = Mutex<Int32>(-1)

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        self.descriptor = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
        try #require(isBound)
    }

    deinit {
        close(descriptor)
        close(connection.withLock { $0 })
    }

    func awaitConnection() { connection.withLock { $0 = accept(descriptor, nil, nil) } }
}
