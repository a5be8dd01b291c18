import Foundation
import Redis
import Testing

/// Redis over TLS: the real server, with certificates that the test makes.
@Suite(.serialized) struct RedisTLSTests {
    /// A server that speaks TLS only, and asks for a certificate and for a user of its ACL.
    private final class Server {
        let folder: TemporaryFolder
        let port: Int
        private let process = Process()

        init(asksForCertificate: Bool = true, name: String = "server", port: Int? = nil) throws {
            folder = try TemporaryFolder()
            self.port = try port ?? ServiceProcess.freePort()
            try makeAuthority("authority")
            try makeAuthority("stranger")
            try issue("server", for: "DNS:localhost,IP:127.0.0.1", by: "authority")
            try issue("other", for: "DNS:other.example", by: "authority")
            try issue("client", for: "DNS:client", by: "authority")
            try issue("foreign", for: "DNS:client", by: "stranger")
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = [
                "redis-server", "--port", "0", "--tls-port", "\(self.port)", "--bind", "127.0.0.1",
                "--tls-cert-file", path("\(name).pem"), "--tls-key-file", path("\(name).key"),
                "--tls-ca-cert-file", path("authority.pem"),
                "--tls-auth-clients", asksForCertificate ? "yes" : "no", "--save", "",
                "--user", "scoring", "on", ">word", "~*", "&*", "+@all", "--user", "default", "off",
            ]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
        }

        deinit {
            Foundation.kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }

        func path(_ name: String) -> String { folder.file(name).path }

        private func makeAuthority(_ name: String) throws {
            try openssl(
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "1",
                "-subj", "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).pem"))
        }

        private func issue(_ name: String, for names: String, by authority: String) throws {
            try openssl(
                "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                "/CN=\(name)",
                "-keyout", path("\(name).key"), "-out", path("\(name).csr"))
            try Data("subjectAltName=\(names)\n".utf8).write(to: folder.file("names"))
            try openssl(
                "x509", "-req", "-days", "1", "-in", path("\(name).csr"), "-CA", path("\(authority).pem"),
                "-CAkey", path("\(authority).key"), "-CAcreateserial", "-extfile", path("names"),
                "-out", path("\(name).pem"))
        }

        private func openssl(_ arguments: String...) throws {
            let (status, text) = try Command.output(URL(filePath: "/usr/bin/openssl"), arguments)
            guard status == 0 else { throw ServiceFailure(text) }
        }

        func connection(
            host: String = "localhost", scheme: String = "rediss", authorities: String? = "authority",
            certificate: String? = "client", login: String = "scoring:word"
        ) throws -> RedisConnection {
            var address = try RedisAddress(parsing: "\(scheme)://\(login)@\(host):\(port)")
            if address.tls != nil {
                address.tls = RedisTLS(
                    authorities: authorities.map { path("\($0).pem") },
                    certificate: certificate.map { path("\($0).pem") },
                    key: certificate.map { path("\($0).key") })
            }
            return RedisConnection(address: address, connectTimeoutMilliseconds: 2_000)
        }

        func waitUntilReady() throws {
            let deadline = ContinuousClock.now + .seconds(30)
            let connection = try connection()
            while true {
                do { return try connection.ping() } catch {
                    if ContinuousClock.now > deadline { throw error }
                }
                Thread.sleep(forTimeInterval: 0.02)
            }
        }
    }

    @Test func bytesComeBackAsTheyWentOverTLS() throws {
        let server = try Server()
        try server.waitUntilReady()
        for host in ["localhost", "127.0.0.1"] {
            let redis = try server.connection(host: host)
            let value = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try redis.command(["SET", "large", .bytes(value)])
            #expect(try redis.command(["GET", "large"]) == .bulk(value))
            var commands: [RedisArguments] = []
            for index in 0..<2_000 { commands.append(["SET", .text("k\(index)"), .text("v\(index)")]) }
            #expect(try redis.pipeline(commands).count == 2_000)
            // The server's tickets lie in the socket: the connection is not taken for a stale one.
            let first = try redis.command(["CLIENT", "ID"])
            for _ in 0..<20 { #expect(try redis.command(["CLIENT", "ID"]) == first) }
            #expect(try redis.command(["ACL", "WHOAMI"]).text == "scoring")
        }
    }

    @Test func whatIsNotTheServerOrNotAClientIsRefused() throws {
        let server = try Server()
        try server.waitUntilReady()
        func refusal(_ redis: RedisConnection) -> RedisError? {
            #expect(throws: RedisError.self) { try redis.ping() }
        }
        // An authority that has not signed the server's certificate, and the system's.
        for authorities in ["stranger", nil] {
            let error = refusal(try server.connection(authorities: authorities))
            #expect(error?.description.contains("certificate") == true, "\(error?.description ?? "")")
            #expect(error?.isRetryable == true)
        }
        // A client without a certificate, and one of a stranger.
        _ = refusal(try server.connection(certificate: nil))
        _ = refusal(try server.connection(certificate: "foreign"))
        let wrong = refusal(try server.connection(login: "scoring:guess"))
        #expect(wrong?.serverCode == "WRONGPASS" && wrong?.isRetryable == false)
        #expect(refusal(try server.connection(login: ":word"))?.serverCode == "WRONGPASS")
        // In the clear to a port that speaks TLS.
        _ = refusal(try server.connection(scheme: "redis"))
        // Files that are not there are named.
        let missing = refusal(try server.connection(authorities: "nobody"))
        #expect(missing?.description.contains("nobody.pem") == true)
    }

    @Test func aCertificateOfAnotherNameIsRefused() throws {
        let server = try Server(name: "other")
        let deadline = ContinuousClock.now + .seconds(30)
        var reason = ""
        while ContinuousClock.now < deadline, !reason.contains("mismatch") {
            do {
                try server.connection().ping()
                Issue.record("a server of another name was believed")
                return
            } catch {
                reason = "\(error)"
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
        #expect(reason.contains("mismatch"), "\(reason)")
    }

    /// A server that speaks no TLS is not spoken to in the clear.
    @Test func aPlainServerIsRefusedWhereTLSIsConfigured() throws {
        var address = try RedisAddress(
            parsing: try Stack.redis.replacing("redis://", with: "rediss://"))
        address.tls = RedisTLS()
        let redis = RedisConnection(
            address: address, connectTimeoutMilliseconds: 1_000, commandTimeoutMilliseconds: 1_000)
        let error = #expect(throws: RedisError.self) { try redis.command(["SET", "tls", "secret"]) }
        #expect(error?.isRetryable == true)
        let plain = RedisConnection(address: try RedisAddress(parsing: try Stack.redis))
        #expect(try plain.command(["GET", "tls"]) == .null)
    }

    @Test func theServiceServesOverTLSAndRefusesFilesWithoutIt() async throws {
        let server = try Server()
        try server.waitUntilReady()
        let deployment = try Deployment(partitions: 2)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Array(Fixtures.lines("verdicts.jsonl").prefix(100))
        try deployment.produce(try Array(Fixtures.lines("stream.jsonl").prefix(160)))
        let files = [
            "redis.url": "rediss://scoring:word@localhost:\(server.port)/0",
            "redis.ca": server.path("authority.pem"), "redis.certificate": server.path("client.pem"),
            "redis.certificatekey": server.path("client.key"),
        ]
        let settings = try deployment.settings(["stream.publish": "all"]).merging(files) { $1 }
        let service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let values = try deployment.messages("anomalies", count: golden.count).map(\.value)
        #expect(Set(Fixtures.comparable(values)).isSuperset(of: Fixtures.comparable(golden)))
        let keys = try server.connection().command(["DBSIZE"])
        #expect(keys != .integer(0))
        #expect(!service.logText.contains("word"))
        #expect(try await service.interrupt() == 0)
    }
}
