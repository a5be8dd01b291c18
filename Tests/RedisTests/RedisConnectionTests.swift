import Testing

@testable import Redis

@Suite("A Redis connection and a server that misbehaves")
struct RedisConnectionTests {
    private func connection(
        _ server: ScriptedServer, password: String? = nil, timeoutMilliseconds: Int = 5_000
    ) throws -> RedisConnection {
        let login = password.map { ":\($0)@" } ?? ""
        return RedisConnection(
            address: try RedisAddress(parsing: "unix://\(login)\(server.path)"),
            connectTimeoutMilliseconds: 5_000,
            commandTimeoutMilliseconds: timeoutMilliseconds)
    }

    @Test("after a broken connection the next call opens another one")
    func reconnects() throws {
        let server = try ScriptedServer([
            [.receive("PING\r\n")], [.receive("PING\r\n"), .send("+PONG\r\n"), .hang],
        ])
        let redis = try connection(server)
        let error = #expect(throws: RedisError.self) { try redis.ping() }
        #expect(error?.isRetryable == true)
        #expect(error?.description.contains("closed the connection") == true)
        try redis.ping()
    }

    @Test(
        "a server that has become a replica, or is loading, is left for whoever has the address now",
        arguments: [
            "-READONLY You can't write against a read only replica.",
            "-ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write against a read only replica.",
            "-LOADING Redis is loading the dataset in memory",
            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        ])
    func failovers(answer: String) throws {
        let server = try ScriptedServer([
            [.receive("v\r\n"), .send("\(answer)\r\n"), .hang],
            [.receive("v\r\n"), .send("+OK\r\n"), .hang],
        ])
        let redis = try connection(server)
        let error = #expect(throws: RedisError.self) { try redis.command(["SET", "k", "v"]) }
        #expect(error?.isRetryable == true)
        try redis.command(["SET", "k", "v"])
        server.waitForConnections(1)
    }

    @Test("other errors keep the connection", arguments: ["-WRONGTYPE wrong kind", "-ERR unknown -READONLY"])
    func lastingErrors(answer: String) throws {
        let server = try ScriptedServer([
            [.receive("v\r\n"), .send("\(answer)\r\n"), .receive("w\r\n"), .send("+OK\r\n"), .hang]
        ])
        let redis = try connection(server)
        let error = #expect(throws: RedisError.self) { try redis.command(["SET", "k", "v"]) }
        #expect(error?.isRetryable == false)
        try redis.command(["SET", "k", "w"])
    }

    @Test("an idle connection that the server has closed is replaced before anything is sent on it")
    func idleConnections() throws {
        let server = try ScriptedServer([
            [.receive("PING\r\n"), .send("+PONG\r\n")], [.receive("PING\r\n"), .send("+PONG\r\n"), .hang],
        ])
        let redis = try connection(server)
        try redis.ping()
        server.waitForConnections(1)
        try redis.ping()
    }

    @Test("a silent server costs the timeout, no more")
    func timeouts() throws {
        let server = try ScriptedServer([[.hang]])
        let redis = try connection(server, timeoutMilliseconds: 50)
        let error = #expect(throws: RedisError.self) { try redis.ping() }
        #expect(error?.kind == .timeout(milliseconds: 50))
    }

    @Test("a server that sends byte after byte does not stretch the timeout")
    func trickling() throws {
        let drops = [[ScriptedServer.Action]](repeating: [.send("x"), .pause(milliseconds: 20)], count: 40)
        let server = try ScriptedServer([[.receive("PING\r\n"), .send("$1000\r\n")] + drops.flatMap { $0 }])
        let redis = try connection(server, timeoutMilliseconds: 100)
        let error = #expect(throws: RedisError.self) { try redis.ping() }
        #expect(error?.kind == .timeout(milliseconds: 100))
    }

    @Test("a server that goes away during a large send is an error, not a signal")
    func brokenPipe() throws {
        let server = try ScriptedServer([[.receive("")]])
        let redis = try connection(server)
        let value = [UInt8](repeating: 65, count: 8 << 20)
        #expect(throws: RedisError.self) { try redis.command(["SET", "k", .bytes(value)]) }
    }

    @Test("more replies than commands drop the connection")
    func unaskedReplies() throws {
        let server = try ScriptedServer([
            [.receive("PING\r\n"), .send("+PONG\r\n+PONG\r\n"), .hang],
            [.receive("PING\r\n"), .send("+PONG\r\n"), .hang],
        ])
        let redis = try connection(server)
        // The surplus comes with the answer, or is found before the next command: both leave a clean connection.
        do { try redis.ping() } catch { #expect(error.description.contains("more than was asked")) }
        try redis.ping()
    }

    @Test("a pipeline that breaks off half way drops the connection with the answers that are missing")
    func halfPipelines() throws {
        let server = try ScriptedServer([
            [.receive("PING\r\n*1\r\n$4\r\nPING\r\n"), .send("+PONG\r\n")],
            [.receive("PING\r\n"), .send("+PONG\r\n"), .hang],
        ])
        let redis = try connection(server)
        #expect(throws: RedisError.self) { try redis.pipeline([["PING"], ["PING"]]) }
        try redis.ping()
    }

    @Test("a refused login is the server's error, and nothing else is sent")
    func logins() throws {
        let refusal = "-WRONGPASS invalid username-password pair\r\n"
        let server = try ScriptedServer([[.receive("secret\r\n"), .send(refusal), .hang]])
        let redis = try connection(server, password: "secret")
        let error = #expect(throws: RedisError.self) { try redis.ping() }
        #expect(error?.serverCode == "WRONGPASS" && error?.isRetryable == false)
        #expect(error?.description.contains("secret") == false)
    }

    @Test(
        "values that are no array of as many strings are an error",
        arguments: [
            "*1\r\n$1\r\na\r\n", "*3\r\n:1\r\n:1\r\n:1\r\n", "$1\r\na\r\n", "*2\r\n$1\r\na\r\n:5\r\n",
            "*2\r\n*1\r\n:1\r\n$-1\r\n", "*-1\r\n",
        ])
    func strangeValues(answer: String) throws {
        let server = try ScriptedServer([[.receive("b\r\n"), .send(answer), .hang]])
        let error = #expect(throws: RedisError.self) {
            try connection(server).getMany(keys: ["a", "b"]) { _, _ in }
        }
        guard case .protocol = error?.kind else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("what the caller throws while reading values passes through, and the connection stays whole")
    func throwingBody() throws {
        struct Stop: Error {}
        let server = try ScriptedServer([
            [
                .receive("b\r\n"), .send("*2\r\n$1\r\na\r\n$-1\r\n"), .receive("PING\r\n"),
                .send("+PONG\r\n"), .hang,
            ]
        ])
        let redis = try connection(server)
        #expect(throws: Stop.self) {
            try redis.getMany(keys: ["a", "b"]) { _, _ in throw Stop() }
        }
        try redis.ping()
    }

    @Test("a server that has forgotten a script gets its source")
    func forgottenScripts() throws {
        let script = RedisScript("return 7")
        let server = try ScriptedServer([
            [
                .receive("a\r\n"), .send("-NOSCRIPT No matching script\r\n"), .receive("a\r\n"),
                .send(":7\r\n"), .hang,
            ]
        ])
        let redis = try connection(server)
        #expect(try redis.evaluate(script, keys: ["k"], arguments: ["a"]) == .integer(7))
        redis.close()
        server.waitForConnections(1)
        let arguments = "$1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n"
        #expect(
            server.requests.first == "*5\r\n$7\r\nEVALSHA\r\n$40\r\n\(script.sha1)\r\n\(arguments)"
                + "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 7\r\n\(arguments)")
    }

    @Test("no server at all")
    func noServer() throws {
        let address = try RedisAddress(parsing: "unix:///nonexistent/redis.sock")
        let error = #expect(throws: RedisError.self) { try RedisConnection(address: address).ping() }
        #expect(error?.isRetryable == true)
        #expect(error?.description.contains("unix:///nonexistent/redis.sock") == true)
    }
}
