import Foundation
import Glibc

/// The `serve` processes of a proof, each with a data directory of its own, which it keeps when it is started again.
/// Used from one thread.
final class ProveWorkers {
    private struct Worker {
        var process: ProveProcess
        let port: Int
    }

    private let scene: ProveScene
    private let children: ProveChildren
    private let disks: ProveDisks
    private var running: [Int: Worker] = [:]

    init(_ scene: ProveScene, children: ProveChildren, disks: ProveDisks) {
        self.scene = scene
        self.children = children
        self.disks = disks
    }

    var numbers: [Int] { running.keys.sorted() }

    static func name(_ number: Int) -> String { "worker-\(number)" }

    func start(_ number: Int) throws {
        let port = try FreePort.find()
        let name = Self.name(number)
        try disks.mount(at: scene.path(name))
        let process = try ProveProcess(
            name, try ProveScene.executable, ["serve", "--role", "inference,management"],
            environment: try scene.environment([
                "data.directory": scene.path(name), "http.port": "\(port)",
            ]), log: scene.path("\(name).log"), children: children)
        running[number] = Worker(process: process, port: port)
    }

    /// Leaves a worker's disk no room.
    func fillDisk(of number: Int) throws { try disks.fill(scene.path(Self.name(number))) }

    func freeDisk(of number: Int) { disks.free(scene.path(Self.name(number))) }

    func kill(_ number: Int) {
        running[number]?.process.kill()
        running[number] = nil
    }

    func signal(_ number: Int, _ signal: Int32) { running[number]?.process.signal(signal) }

    /// Tells a worker to end, and waits for it.
    ///
    /// - Returns: How long it took, and what is to be said of it; nil: it ended with 0.
    func end(_ number: Int) throws -> (seconds: Double, remark: String?) {
        guard let process = running[number]?.process else { return (0, nil) }
        let begin = ContinuousClock.now
        process.signal(SIGTERM)
        try process.waitForEnd(seconds: 40)
        running[number] = nil
        return ((ContinuousClock.now - begin) / .seconds(1), process.hasSucceeded ? nil : process.end)
    }

    /// - Throws: When one has ended that nobody has told to.
    func check() throws {
        for (number, worker) in running {
            guard let end = worker.process.end else { continue }
            throw ProveFailure(
                "\(Self.name(number)) has ended by itself, \(end); the end of its log:\n\(worker.process.logEnd)"
            )
        }
    }

    /// The version by which a worker scores a user's transactions; nil: it does not say.
    func version(of user: String, in number: Int) -> String? {
        guard let port = running[number]?.port,
            let answer = LocalHTTP.get(port: port, path: "/v1/users/\(user)"), answer.isSuccess,
            let object = try? JSONSerialization.jsonObject(with: answer.body) as? [String: Any],
            let serving = object["serving"] as? [String: Any], let tenant = serving["tenant"] as? String,
            let version = serving["version"] as? String
        else { return nil }
        return "\(tenant) \(version)"
    }

    func isListening(_ number: Int) -> Bool {
        running[number].map { LocalHTTP.get(port: $0.port, path: "/healthz")?.isSuccess == true } ?? false
    }

    /// What each says of itself, and which partitions it reads, for whoever looks into a proof that came to no end.
    var conditions: String {
        numbers.map { number in
            "\(Self.name(number)): \(text(of: number, "/readyz").prefix(1_000)) \(lags(of: number))"
        }.joined(separator: "; ")
    }

    private func text(of number: Int, _ path: String) -> String {
        let answer = running[number].flatMap { LocalHTTP.get(port: $0.port, path: path) }
        return answer.map { String(decoding: $0.body, as: UTF8.self) } ?? "no answer"
    }

    private func lags(of number: Int) -> String {
        text(of: number, "/metrics").split(separator: "\n").filter { $0.hasPrefix("ml_consumer_lag_records") }
            .joined(separator: " ")
    }
}

/// Asks a server on this machine, with a time limit.
enum LocalHTTP {
    struct Answer {
        let isSuccess: Bool
        let body: Data
    }

    /// - Returns: nil: no answer.
    static func get(port: Int, path: String) -> Answer? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 2, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(clamping: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        let request = Array("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8)
        guard connected == 0, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) > 0
        else { return nil }
        var answer = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let deadline = ContinuousClock.now + .seconds(4)
        while ContinuousClock.now < deadline {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            answer.append(contentsOf: buffer[..<count])
        }
        guard let head = answer.range(of: Data("\r\n\r\n".utf8)) else { return nil }
        return Answer(
            isSuccess: answer.starts(with: Data("HTTP/1.1 200".utf8)), body: answer[head.upperBound...])
    }
}
