import Foundation
import Logging
import Testing

@testable import SchemaRegistry

/// A registry that speaks TLS, played by `openssl s_server`, which answers any path with a page of its own.
@Suite(.enabled(if: SelfSignedServer.hasOpenSSL)) struct RegistryTLSTests {
    private func problem(_ url: String, _ authorities: String?) throws -> String? {
        try SchemaRegistry(
            url: url, user: "reader", password: "word", certificateAuthorities: authorities,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ).problem()
    }

    @Test func itsCertificateIsOfAnAuthorityThatIsNamed() throws {
        let (server, other) = (try SelfSignedServer(), try SelfSignedServer())
        let url = "https://localhost:\(server.port)"
        #expect(try problem(url, server.certificate) == nil)
        // Of the system's authorities none vouches for it, nor does another one.
        for authorities in [nil, other.certificate, "/nowhere/ca.pem"] {
            let found = try #require(try problem(url, authorities))
            #expect(found.contains("TLS") && found.contains("registry.ca"), "\(found)")
        }
    }

    @Test func whatSpeaksNoTLSIsNotSpokenTo() throws {
        let server = try SelfSignedServer()
        #expect(throws: RegistryAddressError.self) {
            try problem("http://localhost:\(server.port)", server.certificate)
        }
        #expect(try problem("https://localhost:1", server.certificate) == "nobody listens there")
    }
}
