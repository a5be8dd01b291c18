import Foundation
import Redis
import Testing

/// Against the real server at `REDIS_URL`; those that kill it start one of their own.
@Suite("Redis, the real one")
struct RedisIntegrationTests {
    private let prefix = "test:\(UUID().uuidString):"

    private func connect(commandTimeoutMilliseconds: Int = 5_000) throws -> RedisConnection {
        RedisConnection(
            address: try RedisAddress(parsing: try Stack.redis),
            commandTimeoutMilliseconds: commandTimeoutMilliseconds)
    }

    @Test("bytes come back as they went, whatever they are")
    func binarySafety() throws {
        let redis = try connect()
        let value = (0..<1000).map { UInt8(truncatingIfNeeded: $0) } + Array("\r\n$-1\r\n".utf8)
        #expect(
            try redis.command(["SET", .text(prefix + "ü\r\n"), .bytes(value), "PX", 60_000]) == .status("OK"))
        #expect(try redis.command(["GET", .text(prefix + "ü\r\n")]) == .bulk(value))
        #expect(try redis.command(["GET", .text(prefix + "none")]) == .null)
    }

    @Test("an error that Redis answers is thrown, and the connection serves on")
    func serverErrors() throws {
        let redis = try connect()
        try redis.command(["SET", .text(prefix + "k"), "text", "PX", 60_000])
        let error = #expect(throws: RedisError.self) { try redis.command(["INCR", .text(prefix + "k")]) }
        #expect(error?.serverCode == "ERR" && error?.isRetryable == false)
        let replies = try redis.pipeline([["INCR", .text(prefix + "k")], ["GET", .text(prefix + "k")]])
        guard case .error = replies[0] else {
            Issue.record("\(replies)")
            return
        }
        #expect(replies[1].text == "text")
    }

    @Test("2,000 values in one round trip, in the keys' order, missing ones as nil")
    func getMany() throws {
        let redis = try connect()
        var keys = RedisArguments()
        var commands: [RedisArguments] = []
        for index in 0..<2000 {
            keys.append("\(prefix)\(index)")
            if index % 7 != 0 {
                let value = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: index % 400)
                commands.append(["SET", .text("\(prefix)\(index)"), .bytes(value), "PX", 60_000])
            }
        }
        _ = try redis.pipeline(commands)
        var next = 0
        try redis.getMany(keys: keys) { index, value in
            #expect(index == next)
            next += 1
            #expect(value?.count == (index % 7 == 0 ? nil : index % 400))
            #expect(value?.allSatisfy { $0 == UInt8(truncatingIfNeeded: index) } ?? true)
        }
        #expect(next == 2000)
    }

    @Test("a compare-and-set script writes 2,000 values or none, also when the server has forgotten it")
    func compareAndSet() throws {
        let script = RedisScript(
            """
            -- \(prefix)
            local stored = redis.call('MGET', unpack(KEYS))
            for i = 1, #KEYS do
              if (stored[i] or '') ~= ARGV[2 * i - 1] then return i end
            end
            for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[2 * i], 'PX', 60000) end
            return 0
            """)
        let redis = try connect()
        var keys = RedisArguments()
        for index in 0..<2000 { keys.append("\(prefix)\(index)") }
        func arguments(from old: String, to new: String) -> RedisArguments {
            var arguments = RedisArguments()
            for index in 0..<2000 {
                arguments.append(old.isEmpty ? "" : "\(old)\(index)")
                arguments.append("\(new)\(index)")
            }
            return arguments
        }
        #expect(
            try redis.evaluate(script, keys: keys, arguments: arguments(from: "", to: "a")) == .integer(0))
        #expect(
            try redis.evaluate(script, keys: keys, arguments: arguments(from: "a", to: "b")) == .integer(0))
        try redis.command(["SET", .text(prefix + "1999"), "stranger", "PX", 60_000])
        #expect(
            try redis.evaluate(script, keys: keys, arguments: arguments(from: "b", to: "c")) == .integer(2000)
        )
        #expect(try redis.command(["GET", .text(prefix + "0")]).text == "b0")
    }

    @Test("entries of a stream come in order, after the one that was read last")
    func streams() throws {
        let redis = try connect()
        let key = prefix + "stream"
        #expect(try redis.readStream(key: key, after: "0", count: 10).isEmpty)
        var ids: [String] = []
        for index in 0..<25 {
            let fields: [RedisStreamEntry.Field] = [
                .init(name: "tenant", value: Array("user:\(index)".utf8)),
                .init(name: "raw", value: [0, 255, 13, 10]),
            ]
            ids.append(try redis.addToStream(key: key, fields: fields, maximumLength: 1000))
        }
        let first = try redis.readStream(key: key, after: "0", count: 10)
        #expect(first.map(\.id) == Array(ids[..<10]))
        #expect(first[3].text("tenant") == "user:3" && first[3].fields[1].value == [0, 255, 13, 10])
        let rest = try redis.readStream(key: key, after: ids[9], count: 100)
        #expect(rest.map(\.id) == Array(ids[10...]))
        try redis.command(["DEL", .text(key)])
    }

    @Test("waiting for a stream ends when something comes, or after the time given")
    func blockingStreams() throws {
        // The wait is longer than the timeout of a command, which must not cut it off.
        let redis = try connect(commandTimeoutMilliseconds: 300)
        let key = prefix + "stream"
        let start = ContinuousClock.now
        #expect(try redis.readStream(key: key, after: "0", count: 1, blockMilliseconds: 400).isEmpty)
        #expect(ContinuousClock.now - start >= .milliseconds(390))
        let writer = try connect()
        Thread.detachNewThread { [prefix] in
            _ = try? writer.addToStream(
                key: prefix + "stream", fields: [.init(name: "n", value: [49])], maximumLength: 10)
        }
        #expect(try redis.readStream(key: key, after: "0", count: 1, blockMilliseconds: 20_000).count == 1)
        try redis.command(["DEL", .text(key)])
    }

    @Test("several threads may share a connection")
    func sharedConnections() throws {
        let redis = try connect()
        let key = prefix + "counter"
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<200 { _ = try? redis.command(["INCR", .text(key)]) }
        }
        #expect(try redis.command(["GETDEL", .text(key)]).text == "1600")
    }

    @Test("a server that is killed is an error each time, and serves again once it is back")
    func killAndRestart() throws {
        let server = try PrivateRedis()
        let redis = RedisConnection(address: try RedisAddress(parsing: server.url))
        try redis.command(["SET", "k", "1"])
        server.kill()
        for _ in 0..<3 {
            let error = #expect(throws: RedisError.self) { try redis.ping() }
            #expect(error?.isRetryable == true)
        }
        try server.start()
        #expect(try redis.command(["GET", "k"]) == .null)
    }

    @Test("a server that hangs costs the timeout, and the late answer is not taken for the next one's")
    func hangingServer() throws {
        let server = try PrivateRedis()
        let redis = RedisConnection(
            address: try RedisAddress(parsing: server.url), commandTimeoutMilliseconds: 200)
        try redis.command(["SET", "k", "1"])
        server.pause()
        let start = ContinuousClock.now
        let error = #expect(throws: RedisError.self) { try redis.command(["SET", "k", "late"]) }
        #expect(error?.kind == .timeout(milliseconds: 200))
        #expect(ContinuousClock.now - start < .seconds(5))
        server.resume()
        #expect(try redis.command(["PING"]) == .status("PONG"))
    }

    @Test("a password and a database are used on every connection; a wrong one is the server's error")
    func logins() throws {
        let server = try PrivateRedis(password: "s3cret/x")
        let redis = RedisConnection(
            address: try RedisAddress(parsing: "unix://:s3cret%2Fx@\(server.path)?db=3"))
        try redis.command(["SET", "k", "1"])
        #expect(try redis.command(["CLIENT", "INFO"]).text?.contains(" db=3 ") == true)
        redis.close()
        #expect(try redis.command(["GET", "k"]).text == "1")
        for login in ["", ":wrong@"] {
            let stranger = RedisConnection(
                address: try RedisAddress(parsing: "unix://\(login)\(server.path)"))
            let error = #expect(throws: RedisError.self) { try stranger.ping() }
            #expect(error?.isRetryable == false)
        }
    }

    @Test("a port where nobody listens, and a name that does not exist")
    func noServer() throws {
        for url in ["redis://127.0.0.1:1", "redis://does-not-exist.invalid"] {
            let redis = RedisConnection(
                address: try RedisAddress(parsing: url), connectTimeoutMilliseconds: 1_000)
            let error = #expect(throws: RedisError.self) { try redis.ping() }
            #expect(error?.description.contains("is not available") == true)
        }
    }
}

/// A Redis server of a test's own, on a Unix socket, without persistence.
private final class PrivateRedis {
    let path = NSTemporaryDirectory() + "redis-\(UUID().uuidString.prefix(13)).sock"
    private let password: String?
    private var process = Process()

    var url: String { "unix://\(path)" }

    init(password: String? = nil) throws {
        self.password = password
        try start()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(atPath: path)
    }

    func start() throws {
        process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""]
        if let password { process.arguments? += ["--requirepass", password] }
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let login = password.map { ":\($0.replacing("/", with: "%2F"))@" } ?? ""
        let redis = RedisConnection(address: try RedisAddress(parsing: "unix://\(login)\(path)"))
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            do { return try redis.ping() } catch { if ContinuousClock.now > deadline { throw error } }
            Thread.sleep(forTimeInterval: 0.01)
        }
    }

    func kill() {
        resume()
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    func pause() { Foundation.kill(process.processIdentifier, SIGSTOP) }
    func resume() { Foundation.kill(process.processIdentifier, SIGCONT) }
}
