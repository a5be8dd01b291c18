import Foundation
import Logging
import ServiceLifecycle
import Testing

@testable import Management

/// Clients that hold on to connections get rid of nobody but themselves.
@Suite struct ConnectionTests {
    private static func limits(
        connections: Int = 256, head: Int64 = 60_000, idle: Int64 = 60_000, body: Int64 = 60_000
    ) -> ConnectionLimits {
        var limits = ConnectionLimits()
        limits.maximumConnections = connections
        limits.headTimeoutMilliseconds = head
        limits.idleTimeoutMilliseconds = idle
        limits.bodyTimeoutMilliseconds = body
        return limits
    }

    @Test func silentConnectionsMakeRoomForOneThatSpeaks() async throws {
        let api = try await TestAPI(limits: Self.limits(connections: 8))
        try await blocking {
            let silent = try (0..<40).map { _ in try api.connect() }
            #expect(try api.connect().request("GET", "/healthz").hasPrefix("HTTP/1.1 200"))
            // The oldest went first; whoever is left fits.
            #expect(silent[0].receive().isClosed)
            #expect(silent.filter { !$0.isClosed }.count <= 8)
        }
    }

    @Test func aPortThatIsTakenIsNamed() async throws {
        let api = try await TestAPI()
        let second = managementServer(
            api.services, host: "127.0.0.1", port: api.port, limits: ConnectionLimits(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in }
        let group = ServiceGroup(services: [second], logger: Logger(label: "test"))
        let error = await #expect(throws: ListenError.self) { try await group.run() }
        #expect(try #require(error).description.contains("127.0.0.1:\(api.port): another process"))
    }

    @Test func aHostThatIsNoneIsNamed() async throws {
        let api = try await TestAPI()
        let server = managementServer(
            api.services, host: "999.1.1.1", port: 0, limits: ConnectionLimits(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in }
        let group = ServiceGroup(services: [server], logger: Logger(label: "test"))
        let error = await #expect(throws: ListenError.self) { try await group.run() }
        let text = try #require(error).description
        #expect(text.contains("999.1.1.1:0") && text.contains("http.host"), "\(text)")
    }

    @Test(arguments: ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
    func aHeadThatDoesNotComeEndsTheConnection(_ beginning: String) async throws {
        let api = try await TestAPI(limits: Self.limits(head: 100))
        try await blocking {
            let client = try api.connect()
            client.send(beginning)
            #expect(client.receive().isClosed)
        }
    }

    /// A byte now and then buys no time.
    @Test func aHeadThatTricklesEndsTheConnection() async throws {
        let api = try await TestAPI(limits: Self.limits(head: 300))
        try await blocking {
            let client = try api.connect()
            client.send("GET /healthz HTTP/1.1\r\nX-Slow: ")
            var sent = 0
            while !client.isClosed {
                client.send("a")
                sent += 1
                usleep(10_000)
                try #require(sent < 6_000, "a minute later it is still there")
            }
        }
    }

    @Test func aBodyThatDoesNotComeEndsTheConnection() async throws {
        let api = try await TestAPI(limits: Self.limits(body: 100))
        try await blocking {
            let client = try api.connect()
            client.send("POST /v1/train HTTP/1.1\r\nHost: x\r\nX-Admin-Key: \(TestAPI.key)\r\n")
            client.send("Content-Length: 10\r\n\r\nabc")
            #expect(client.receive().isClosed)
        }
    }

    @Test func aConnectionServesManyRequestsAndIsClosedWhenItFallsSilent() async throws {
        let api = try await TestAPI(limits: Self.limits(idle: 500))
        try await blocking {
            let client = try api.connect()
            for _ in 0..<3 {
                client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = client.receive { $0.hasSuffix("ok\n") }
                #expect(answer.text.hasPrefix("HTTP/1.1 200"))
                #expect(!answer.isClosed)
            }
            #expect(client.receive().isClosed)
        }
    }

    @Test func theReserveOfFileHandlesIsKept() {
        #expect(ConnectionLimits(connections: 256, fileHandles: 1_024).maximumConnections == 256)
        #expect(ConnectionLimits(connections: 10_000, fileHandles: 1_024).maximumConnections == 512)
        #expect(ConnectionLimits(connections: 256, fileHandles: 300).maximumConnections == 8)
    }
}
