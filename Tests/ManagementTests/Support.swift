import Foundation
import Glibc
import Logging
import Models
import NIOPosix
import ObjectStore
import Outcomes
import Plugins
import Rules
import ServiceLifecycle
import Serving
import Synchronization
import Training

@testable import Management

/// The HTTP API of a service without a stream, in a folder of its own, on a free port of this machine.
final class TestAPI: Sendable {
    static let key = "0123456789abcdef"

    let folder = FileManager.default.temporaryDirectory.appending(path: "ml-api-\(UUID().uuidString)")
    let services: ManagementServices
    let objects: any ObjectStore
    let lake: DirectoryObjectStore
    let router: ModelRouter
    let port: Int
    private let group: ServiceGroup
    /// Not the pool that tests block on.
    private let threads = NIOThreadPool(numberOfThreads: 2)

    init(
        limits: ConnectionLimits = ConnectionLimits(), auditLog: AuditLog? = nil, keyFile: String? = nil,
        tls: TLSFiles? = nil, promotionIdentities: Int = 1, windows: WindowAccess? = nil,
        serving: ServingStatus? = nil
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        threads.start()
        let registry = DetectorRegistry(logger: logger)
        let objects = DirectoryObjectStore(root: folder.appending(path: "store").path)
        let store = ModelStore(objects: objects)
        let cache = try ModelCache(
            path: folder.appending(path: "models.sqlite").path, maximumSize: 1 << 30, logger: logger)
        let router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: 1 << 30, logger: logger)
        let catalogue = Catalogue(objects: objects)
        let promotion = Promotion(
            store: store, catalogue: catalogue, cache: cache, router: router, events: InProcessModelEvents())
        let lake = DirectoryObjectStore(root: folder.appending(path: "lake").path)
        let book = LabelBook(lake: lake)
        let services = ManagementServices(
            jobs: try SQLiteJobStore(path: nil), registry: registry, models: store, catalogue: catalogue,
            promotion: promotion, serving: serving, watch: nil, recent: nil, windows: windows,
            labels: book, labelled: LabelledTransactions(lake: lake, book: book),
            rules: RuleStore(objects: objects),
            metrics: PrometheusRegistry(),
            keys: try KeyRing(adminKey: Self.key, file: keyFile, isReadingOpen: true, logger: logger),
            auditLog: auditLog, promotionIdentities: promotionIdentities,
            threads: threads)
        self.services = services
        self.objects = objects
        self.lake = lake
        self.router = router
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let server = managementServer(
            services, host: "127.0.0.1", port: 0, limits: limits, tls: tls, logger: logger
        ) { continuation.yield($0) }
        let group = ServiceGroup(services: [server], logger: logger)
        self.group = group
        let running = Task {
            defer { continuation.finish() }
            try await group.run()
        }
        // Without one the server has ended before it listened; its error says why.
        guard let port = await ports.first(where: { _ in true }) else {
            try await running.value
            throw CancellationError()
        }
        self.port = port
    }

    deinit {
        // Not cancelled: swift-nio traps over a connection that has been accepted and is taken up by nobody.
        Task { [group] in await group.triggerGracefulShutdown() }
        threads.shutdownGracefully { _ in }
        try? FileManager.default.removeItem(at: folder)
    }

    func connect() throws -> Client { try Client(port: port) }
}

/// A TCP connection on which a test says what it likes. Blocking, used by one thread.
final class Client {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw POSIXError(.ECONNREFUSED) }
    }

    deinit { close(descriptor) }

    func send(_ text: String) { send(bytes: Array(text.utf8)) }

    /// Says that nothing more will come.
    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    func send(bytes: [UInt8]) {
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// What came until the other side closed, or until `seconds` passed without a word.
    func receive(seconds: Int = 60, until isEnough: (String) -> Bool = { _ in false }) -> (
        text: String, isClosed: Bool
    ) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !isEnough(text) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count == 0 || (count < 0 && errno == ECONNRESET) { return (text, true) }
            if count < 0 { return (text, false) }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return (text, false)
    }

    /// Whether the other side has closed by now.
    var isClosed: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN)
    }

    /// Sends a request on a connection that ends with the answer.
    func request(_ method: String, _ target: String, headers: [String] = [], body: String = "") -> String {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: test", "Connection: close"] + headers
        let length = body.isEmpty ? [] : ["Content-Length: \(body.utf8.count)"]
        send((lines + length).joined(separator: "\r\n") + "\r\n\r\n" + body)
        return receive().text
    }
}

/// Runs what blocks on a thread of its own, as Swift's own pool must not be held up.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(body)
}

/// What `Client.request` gives: the status, and the body where it is a JSON object.
struct JSONAnswer {
    let status: String
    let json: [String: Any]

    init(_ text: String) {
        status = String(text.dropFirst(9).prefix(3))
        let body = text.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
        json = ((try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any]) ?? [:]
    }
}
