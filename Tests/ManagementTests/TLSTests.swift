import Foundation
import Logging
import Testing

@testable import Management

/// The HTTP API over TLS, asked by curl with certificates that openssl makes.
@Suite(.enabled(if: Authority.isPossible)) struct TLSTests {
    private let authority: Authority
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws { authority = try Authority() }

    private func files(clients: Authority? = nil) throws -> TLSFiles {
        try TLSFiles(
            certificate: authority.path("server.pem"), key: authority.path("server.key"),
            clientAuthorities: clients?.path("authority.pem"), logger: logger)
    }

    /// curl's exit status and what it wrote.
    private func curl(_ api: TestAPI, _ options: String..., scheme: String = "https") async throws -> (
        status: Int32, text: String
    ) {
        let options = options + ["--max-time", "30", "-sS", "\(scheme)://localhost:\(api.port)/healthz"]
        return try await blocking { try run("curl", options) }
    }

    @Test func itIsAnsweredToWhoKnowsTheAuthority() async throws {
        try authority.issue("server")
        let api = try await TestAPI(tls: files())
        let known = try await curl(api, "--cacert", authority.path("authority.pem"))
        #expect(known.status == 0 && known.text.contains("ok"), "\(known)")
        // 60: the peer's certificate cannot be authenticated.
        #expect(try await curl(api).status == 60)
        let stranger = try Authority()
        #expect(try await curl(api, "--cacert", stranger.path("authority.pem")).status == 60)
        // Its files go with it.
        withExtendedLifetime(stranger) {}
    }

    @Test func whatSpeaksNoTLSIsRefusedAndOthersAreServed() async throws {
        try authority.issue("server")
        let api = try await TestAPI(tls: files())
        let plain = try await curl(api, scheme: "http")
        #expect(plain.status != 0 && !plain.text.contains("ok"), "\(plain)")
        let old = try await curl(
            api, "--cacert", authority.path("authority.pem"), "--tls-max", "1.1", "--ciphers",
            "ALL@SECLEVEL=0")
        #expect(old.status != 0, "\(old)")
        #expect(try await curl(api, "--cacert", authority.path("authority.pem")).status == 0)
    }

    @Test func aNewCertificateServesWithoutARestart() async throws {
        try authority.issue("server")
        let api = try await TestAPI(tls: files())
        #expect(try await curl(api, "--cacert", authority.path("authority.pem")).status == 0)
        let other = try Authority()
        try other.issue("server")
        // The key first: for a moment the two do not belong together, and the present ones go on.
        try authority.take("server.key", from: other)
        #expect(try await curl(api, "--cacert", authority.path("authority.pem")).status == 0)
        try authority.take("server.pem", from: other)
        #expect(try await curl(api, "--cacert", other.path("authority.pem")).status == 0)
        #expect(try await curl(api, "--cacert", authority.path("authority.pem")).status == 60)
        // Nonsense, and no file at all.
        try Data("nonsense".utf8).write(to: URL(filePath: authority.path("server.pem")))
        #expect(try await curl(api, "--cacert", other.path("authority.pem")).status == 0)
        try FileManager.default.removeItem(atPath: authority.path("server.pem"))
        #expect(try await curl(api, "--cacert", other.path("authority.pem")).status == 0)
    }

    @Test func clientsShowACertificateWhereThatIsAskedFor() async throws {
        try authority.issue("server")
        let clients = try Authority()
        try clients.issue("client")
        let strangers = try Authority()
        try strangers.issue("client")
        let api = try await TestAPI(tls: files(clients: clients))
        let trust = authority.path("authority.pem")
        #expect(try await curl(api, "--cacert", trust).status != 0)
        func shown(by other: Authority) async throws -> Int32 {
            try await curl(
                api, "--cacert", trust, "--cert", other.path("client.pem"), "--key", other.path("client.key")
            ).status
        }
        #expect(try await shown(by: clients) == 0)
        #expect(try await shown(by: strangers) != 0)
    }

    @Test func filesThatCannotBeUsedAreNamed() throws {
        try authority.issue("server")
        let other = try Authority()
        try other.issue("server")
        func reason(_ certificate: String, _ key: String, _ clients: String? = nil) -> String {
            let error = #expect(throws: TLSFilesError.self) {
                _ = try TLSFiles(
                    certificate: certificate, key: key, clientAuthorities: clients, logger: logger)
            }
            return error?.description ?? ""
        }
        let (certificate, key) = (authority.path("server.pem"), authority.path("server.key"))
        #expect(reason(authority.path("none"), key).contains("there is no such file"))
        #expect(reason(key, key).contains("server.key"))
        #expect(reason(certificate, certificate).contains("no PEM file of a key"))
        #expect(reason(certificate, other.path("server.key")).contains("it is not the key of"))
        #expect(reason(certificate, key, authority.path("none")).contains("none"))
        #expect(reason("/dev/null", key).contains("/dev/null"))
    }
}

private func run(_ name: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/\(name)")
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
}

/// An authority with certificates of its own making, in a folder that goes with it.
final class Authority: Sendable {
    static let isPossible = ["openssl", "curl"].allSatisfy {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
    }

    private let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj",
            "/CN=authority \(UUID().uuidString)", "-keyout", path("authority.key"), "-out",
            path("authority.pem"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Makes a certificate for localhost, and its key.
    func issue(_ name: String) throws {
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-keyout", path("\(name).key"), "-out", path("\(name).csr"))
        try Data("subjectAltName=DNS:localhost\n".utf8).write(to: URL(filePath: path("names")))
        try openssl(
            "x509", "-req", "-days", "1", "-in", path("\(name).csr"), "-CA", path("authority.pem"), "-CAkey",
            path("authority.key"), "-CAcreateserial", "-extfile", path("names"), "-out", path("\(name).pem"))
    }

    /// Puts another's file in the place of its own, as those who renew certificates do.
    func take(_ name: String, from other: Authority) throws {
        try FileManager.default.copyItem(atPath: other.path(name), toPath: path("\(name).new"))
        #expect(rename(path("\(name).new"), path(name)) == 0)
    }

    private func openssl(_ arguments: String...) throws {
        let ran = try run("openssl", arguments)
        try #require(ran.status == 0, "\(ran.text)")
    }
}
