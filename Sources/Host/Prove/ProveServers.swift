import Foundation
import Glibc
import Kafka
import KafkaProxy
import Logging
import Redis

/// A broker, a Redis and an S3 server of a proof's own, which it may kill, pause and restart. Used from one thread.
///
/// The broker is the test stack's. It leaves undone some of what Kafka does (docs/kafka.md), so that everybody but the
/// proof itself reaches it by way of the proxy that does it.
final class ProveServers {
    let proxy: KafkaProxy
    let redisURL: String
    /// Of the broker itself.
    let brokerAddress: String
    private let folder: URL
    private let children: ProveChildren
    private let (brokerPath, redisPath): (String, String)
    private let (brokerPort, redisPort): (Int, Int)
    private var broker: ProveProcess?
    private var redis: ProveProcess?
    /// Of the Redis of now: a replica that has taken over has one of its own.
    private var redisFolder: URL
    private var failovers = 0
    let objects: ProveObjectStore
    private let logger = Logger(label: "prove") { _ in SwiftLogNoOpLogHandler() }

    /// Starts all, and waits for their answers.
    init(folder: URL, children: ProveChildren) throws {
        self.folder = folder
        self.children = children
        brokerPath = try Self.find("noida-db")
        redisPath = try Self.find("redis-server")
        (brokerPort, redisPort) = (try FreePort.find(), try FreePort.find())
        brokerAddress = "127.0.0.1:\(brokerPort)"
        redisURL = "redis://127.0.0.1:\(redisPort)/0"
        proxy = try KafkaProxy(upstream: brokerAddress)
        redisFolder = folder.appending(path: "redis")
        for made in [folder.appending(path: "broker"), redisFolder] {
            try FileManager.default.createDirectory(at: made, withIntermediateDirectories: true)
        }
        objects = try ProveObjectStore(path: try Self.find("weed"), folder: folder, children: children)
        try startRedis()
        try startBroker()
    }

    /// In `.deps/bin` of a source tree around the executable or the working directory, or in PATH.
    private static func find(_ name: String) throws -> String {
        var folders: [String] = []
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        for start in [own, FileManager.default.currentDirectoryPath + "/x"] {
            var path = (start as NSString).deletingLastPathComponent
            while path.count > 1 {
                folders.append(path + "/.deps/bin")
                path = (path as NSString).deletingLastPathComponent
            }
        }
        folders += (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        let found = folders.map { "\($0)/\(name)" }.first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
        guard let found else {
            throw UsageError(
                "--stack needs \(name), which is neither in .deps/bin nor in PATH: run scripts/setup --tests, or name servers of yours"
            )
        }
        return found
    }

    // MARK: Redis

    private func redisProcess(port: Int, in data: URL, _ more: [String] = []) throws -> ProveProcess {
        // Every write is with the kernel before it is answered, and not a second later: a kill loses nothing.
        try ProveProcess(
            "redis", redisPath,
            [
                "--bind", "127.0.0.1", "--port", "\(port)", "--dir", data.path, "--appendonly", "yes",
                "--appendfsync", "no", "--save", "",
            ] + more, environment: ProcessInfo.processInfo.environment,
            log: folder.appending(path: "redis.log").path, children: children)
    }

    private func startRedis() throws {
        redis = try redisProcess(port: redisPort, in: redisFolder)
        let connection = try self.connection
        try proveWait("Redis answers", seconds: 60, check: check) {
            (try? connection.ping()) != nil
        }
    }

    private var connection: RedisConnection {
        get throws { RedisConnection(address: try RedisAddress(parsing: redisURL)) }
    }

    func restartRedis(awaySeconds: Double) throws {
        redis?.kill()
        Thread.sleep(forTimeInterval: awaySeconds)
        try startRedis()
    }

    func pauseRedis(seconds: Double) {
        redis?.signal(SIGSTOP)
        Thread.sleep(forTimeInterval: seconds)
        redis?.signal(SIGCONT)
    }

    func flushRedis() throws { try connection.command(["FLUSHALL"]) }

    /// Redis as it was some time ago: its files are copied, kept for so long, and put back.
    func setRedisBack(seconds: Double) throws {
        let (now, copy) = (redisFolder, folder.appending(path: "redis-before"))
        try? FileManager.default.removeItem(at: copy)
        redis?.signal(SIGSTOP)
        let copied = Result { try FileManager.default.copyItem(at: now, to: copy) }
        redis?.signal(SIGCONT)
        try copied.get()
        Thread.sleep(forTimeInterval: seconds)
        redis?.kill()
        try FileManager.default.removeItem(at: now)
        try FileManager.default.moveItem(at: copy, to: now)
        try startRedis()
    }

    /// A replica takes over, at the address at which the one before it was.
    ///
    /// - Parameter seconds: How long it lacks what was written when that one is killed; nil: it has everything, as clients
    ///   were held until it had.
    func failRedisOver(behindSeconds seconds: Double?) throws {
        failovers += 1
        let data = folder.appending(path: "redis-\(failovers)")
        try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
        let port = try FreePort.find()
        let replica = try redisProcess(port: port, in: data, ["--replicaof", "127.0.0.1", "\(redisPort)"])
        let there = RedisConnection(address: try RedisAddress(parsing: "redis://127.0.0.1:\(port)/0"))
        try proveWait("the replica has everything, on disk too", seconds: 60, check: check) {
            guard let role = try? there.command(["ROLE"]),
                role.array?.dropFirst(3).first?.text == "connected",
                let state = try? there.command(["INFO", "persistence"]), let text = state.text
            else { return false }
            return ["loading:0", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"].allSatisfy(
                text.contains)
        }
        if let seconds {
            try there.command(["REPLICAOF", "NO", "ONE"])
            Thread.sleep(forTimeInterval: seconds)
        } else {
            let here = try connection
            try proveWait("the replica may take over", seconds: 30, check: check) {
                (try? here.command(["FAILOVER", "TO", "127.0.0.1", .integer(port), "TIMEOUT", "10000"]))
                    != nil
            }
            try proveWait("the replica has taken over", seconds: 30, check: check) {
                (try? there.command(["ROLE"]))?.array?.first?.text == "master"
            }
        }
        redis?.kill()
        (redis, redisFolder) = (replica, data)
        try proveWait("the replica listens where Redis was", seconds: 30, check: check) {
            (try? there.command(["CONFIG", "SET", "port", .integer(redisPort)])) != nil
        }
    }

    // MARK: The broker

    private func startBroker() throws {
        broker = try ProveProcess(
            "broker", brokerPath,
            [
                "start", "--data-dir", folder.appending(path: "broker").path, "--host", "127.0.0.1", "--only",
                "kafka", "--kafka-port", "\(brokerPort)",
            ], environment: ProcessInfo.processInfo.environment,
            log: folder.appending(path: "broker.log").path, children: children)
        let admin = try KafkaAdmin(
            settings: KafkaSettings(bootstrapServers: brokerAddress), logger: logger)
        try proveWait("the broker answers", seconds: 60, check: check) {
            admin.isAnswering()
        }
    }

    /// Ended in order and started again. Clients lose it before: what this broker acknowledges while it ends it may
    /// lose, which Kafka does not.
    func restartBroker(awaySeconds: Double) throws {
        proxy.goAway()
        Thread.sleep(forTimeInterval: 0.5)
        broker?.signal(SIGTERM)
        try broker?.waitForEnd(seconds: 30)
        Thread.sleep(forTimeInterval: awaySeconds)
        proxy.duties.brokerRestarts()
        try startBroker()
        try proxy.comeBack()
    }

    /// - Throws: When one has ended by itself.
    func check() throws {
        try objects.check()
        for process in [broker, redis] {
            if let process, let end = process.end {
                throw ProveFailure("\(process.name) has ended by itself, \(end); see \(process.log)")
            }
        }
    }

    /// What the proxy has done in the broker's place.
    var dutiesDone: String {
        let duties = proxy.duties
        return
            "\(duties.removedMembers) silent members removed, \(duties.refusals) offsets of old generations refused, \(duties.abortedTransactions) abandoned transactions ended"
    }

    func end() {
        proxy.end()
        broker?.kill()
        redis?.kill()
        objects.end()
    }
}

/// Ports for servers that do not choose their own.
enum FreePort {
    /// Below the range that the kernel gives to clients, so that it stays free while its server is away.
    static func find() throws -> Int {
        for _ in 0..<200 {
            let port = Int.random(in: 15_000..<32_000)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let bound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if bound == 0 { return port }
        }
        throw ProveFailure("no port is free")
    }
}
