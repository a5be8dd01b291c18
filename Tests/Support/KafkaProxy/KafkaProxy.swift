import Foundation
import Glibc
import Synchronization

/// Stands between clients and a broker on this machine: holds, loses or refuses single requests and answers, goes
/// away and comes back, and does of a broker's duties those that the test stack's leaves undone (`BrokerDuties`).
///
/// Threads of its own serve each connection. Everything may be called from any thread.
public final class KafkaProxy: Sendable {
    public enum Action: Sendable {
        case pass
        /// Wait for `release`, and pass then.
        case hold
        /// It never arrives, and the connection ends.
        case lose
    }

    public typealias Rule = @Sendable (KafkaRequest) -> Action

    private struct State {
        var listener: Int32 = -1
        var connections: [ObjectIdentifier: Connection] = [:]
        var requestRule: Rule = { _ in .pass }
        var answerRule: Rule = { _ in .pass }
        var counts: [KafkaRequest.Call: Int] = [:]
        var damage: (marker: [UInt8], kind: BatchDamage)?
        var maximumRecordsSize = Int.max
        var refusedBatches = 0
        var isEnded = false
    }

    /// `127.0.0.1:port`, for the clients.
    public let address: String
    let port: UInt16
    let upstreamPort: UInt16
    public let duties: BrokerDuties
    private let state = Mutex(State())
    private let gate = Gate()

    /// - Parameters:
    ///   - upstream: `127.0.0.1:port` of the broker, which names itself so too.
    ///   - keepsSessions: In the broker's place, which is told of long ones; false: it keeps them itself.
    public init(upstream: String, keepsSessions: Bool = true) throws {
        guard let port = upstream.split(separator: ":").last.flatMap({ UInt16($0) }),
            upstream.hasPrefix("127.0.0.1:")
        else { throw ProxyError("the broker's address is not 127.0.0.1:port: \(upstream)") }
        upstreamPort = port
        let (descriptor, own) = try Self.listen(port: 0)
        self.port = own
        address = "127.0.0.1:\(own)"
        duties = BrokerDuties(upstreamPort: port, keepsSessions: keepsSessions)
        state.withLock { $0.listener = descriptor }
        accept(on: descriptor)
    }

    deinit { end() }

    public func end() {
        state.withLock { $0.isEnded = true }
        duties.end()
        goAway()
        gate.open()
    }

    // MARK: What tests say

    /// Decides over each request before the broker sees it.
    public func onRequest(_ rule: @escaping Rule) { state.withLock { $0.requestRule = rule } }

    /// Decides over each answer that the broker has given: its effect is there.
    public func onAnswer(_ rule: @escaping Rule) { state.withLock { $0.answerRule = rule } }

    /// Everything passes from now on, what is held too.
    public func release() {
        state.withLock { state in
            state.requestRule = { _ in .pass }
            state.answerRule = { _ in .pass }
        }
        gate.open()
    }

    /// Damages each batch that holds the marker, whenever it is fetched. Such records must not be compressed.
    public func damageBatches(with marker: String, _ kind: BatchDamage) {
        state.withLock { $0.damage = (Array(marker.utf8), kind) }
    }

    /// Refuses to store batches above a size in bytes, as a topic's max.message.bytes does.
    public func refuseBatches(above sizeBytes: Int) { state.withLock { $0.maximumRecordsSize = sizeBytes } }

    public var refusedBatches: Int { state.withLock { $0.refusedBatches } }

    var damage: (marker: [UInt8], kind: BatchDamage)? { state.withLock { $0.damage } }

    /// The answer to records that are too large; nil: they may be stored.
    func refusal(of request: KafkaRequest) -> [UInt8]? {
        let isRefused = state.withLock { state in
            guard request.call == .produce, request.recordsSize > state.maximumRecordsSize else {
                return false
            }
            state.refusedBatches += 1
            return true
        }
        return isRefused ? request.produceAnswer(error: KafkaRequest.messageTooLarge) : nil
    }

    public func count(of call: KafkaRequest.Call) -> Int { state.withLock { $0.counts[call] ?? 0 } }

    /// As a broker that ends: no connection is left, and none is taken.
    public func goAway() {
        let connections = state.withLock { state in
            if state.listener >= 0 {
                shutdown(state.listener, Int32(SHUT_RDWR))
                Glibc.close(state.listener)
            }
            state.listener = -1
            defer { state.connections = [:] }
            return state.connections
        }
        for connection in connections.values { connection.end() }
    }

    public func comeBack() throws {
        let (descriptor, _) = try Self.listen(port: port)
        state.withLock { $0.listener = descriptor }
        accept(on: descriptor)
    }

    // MARK: Connections

    private static func listen(port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard withLoopback(port: port, { bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, 64) == 0
        else {
            Glibc.close(descriptor)
            throw ProxyError("no port: \(String(cString: strerror(errno)))")
        }
        var bound = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &bound) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return (descriptor, UInt16(bigEndian: bound.sin_port))
    }

    private func accept(on descriptor: Int32) {
        Thread.detachNewThread { [weak self] in
            while true {
                let accepted = Glibc.accept(descriptor, nil, nil)
                guard accepted >= 0 else { return }
                let client = Wire(accepted)
                guard let self, let broker = Wire.connect(port: upstreamPort) else { continue }
                let connection = Connection(client: client, broker: broker)
                let isCurrent = state.withLock { state in
                    guard state.listener == descriptor else { return false }
                    state.connections[ObjectIdentifier(connection)] = connection
                    return true
                }
                guard isCurrent else { continue }
                connection.serve(by: self)
            }
        }
    }

    func ended(_ connection: Connection) {
        state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(connection)) }
    }

    /// - Returns: Whether the request may go on, after it has been held for as long as it is to be.
    func admits(_ request: KafkaRequest) -> Bool {
        let rule = state.withLock { state in
            if let call = request.call { state.counts[call, default: 0] += 1 }
            return state.requestRule
        }
        return isAdmitted(rule(request))
    }

    func admits(answerTo request: KafkaRequest) -> Bool {
        let rule = state.withLock { $0.answerRule }
        return isAdmitted(rule(request))
    }

    private func isAdmitted(_ action: Action) -> Bool {
        switch action {
        case .pass: return true
        case .lose: return false
        case .hold:
            gate.pass()
            return !state.withLock { $0.isEnded }
        }
    }
}

public struct ProxyError: Error, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// Closed until it is opened, for those that wait then.
private final class Gate: @unchecked Sendable {  // `generation` is used under `condition`
    private let condition = NSCondition()
    private var generation = 0

    func pass() {
        condition.lock()
        defer { condition.unlock() }
        let entered = generation
        while generation == entered { condition.wait() }
    }

    func open() {
        condition.lock()
        generation += 1
        condition.broadcast()
        condition.unlock()
    }
}

/// A client's connection and its counterpart at the broker. Answers come in the order of the requests.
final class Connection: @unchecked Sendable {  // `waiting` and `isEnded` are used under `condition`
    private struct Waiting {
        let request: KafkaRequest
        /// The proxy's own answer; the broker is not asked then.
        let answer: [UInt8]?
    }

    private let client: Wire
    private let broker: Wire
    private let condition = NSCondition()
    private var waiting: [Waiting] = []
    private var isClientGone = false
    private var isEnded = false

    init(client: Wire, broker: Wire) {
        self.client = client
        self.broker = broker
    }

    func serve(by proxy: KafkaProxy) {
        Thread.detachNewThread { [weak proxy] in
            while let bytes = self.client.read() {
                guard let proxy else { break }
                let request = KafkaRequest(bytes)
                guard proxy.admits(request) else { break }
                proxy.duties.awaitTurn(of: request)
                let answer = proxy.refusal(of: request) ?? proxy.duties.answer(to: request)
                self.put(Waiting(request: request, answer: answer))
                if answer == nil, !self.broker.write(proxy.duties.passing(bytes, of: request)) { break }
            }
            self.clientHasGone()
        }
        Thread.detachNewThread { [weak proxy] in
            while let next = self.take() {
                guard var answer = next.answer ?? self.broker.read(), let proxy else {
                    proxy?.duties.unanswered(next.request)
                    break
                }
                switch next.request.call {
                case .metadata, .findCoordinator, .describeCluster:
                    answer = Self.renamed(answer, from: proxy.upstreamPort, to: proxy.port)
                default: break
                }
                answer = proxy.duties.passing(answer, to: next.request)
                if next.request.call == .fetch, let (marker, damage) = proxy.damage {
                    answer = damage.applied(to: answer, marker: marker)
                }
                // The stack's broker answers an empty fetch at once, and is then asked again at once.
                if next.request.call == .fetch, answer.count < 200 { usleep(20_000) }
                guard proxy.admits(answerTo: next.request) else { break }
                if !self.client.write(answer) { self.clientHasGone() }
            }
            self.end()
            for request in self.takeRest() { proxy?.duties.unanswered(request) }
            proxy?.ended(self)
        }
    }

    /// Whoever is gone before its joining is answered is a member of the group all the same, until its session is over:
    /// the broker's answer is waited for, so that the duties know of it.
    private func clientHasGone() {
        client.end()
        condition.lock()
        isClientGone = true
        condition.broadcast()
        condition.unlock()
    }

    func end() {
        client.end()
        broker.end()
        condition.lock()
        isEnded = true
        condition.broadcast()
        condition.unlock()
    }

    private func put(_ request: Waiting) {
        condition.lock()
        waiting.append(request)
        condition.broadcast()
        condition.unlock()
    }

    private func takeRest() -> [KafkaRequest] {
        condition.lock()
        defer { condition.unlock() }
        defer { waiting = [] }
        return waiting.map(\.request)
    }

    private func take() -> Waiting? {
        condition.lock()
        defer { condition.unlock() }
        while waiting.isEmpty, !isEnded, !isClientGone { condition.wait() }
        let isOver = isClientGone && !waiting.contains { $0.request.call == .joinGroup }
        return isEnded || isOver ? nil : waiting.removeFirst()
    }

    /// The broker's address in its answers becomes the proxy's, so that clients stay with the proxy.
    private static func renamed(_ answer: [UInt8], from old: UInt16, to new: UInt16) -> [UInt8] {
        let host = Array("127.0.0.1".utf8)
        func place(_ port: UInt16) -> [UInt8] {
            host + withUnsafeBytes(of: Int32(port).bigEndian) { Array($0) }
        }
        return answer.replacing(place(old), with: place(new))
    }
}
