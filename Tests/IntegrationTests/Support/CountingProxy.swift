import Foundation
import Glibc
import Synchronization

/// Stands before a server of this machine, which it can cut off, and counts what passes to an S3 server: requests by method, and the bytes of the answers
/// with their heads. Threads of its own serve each connection; may be asked from any thread.
final class CountingProxy: Sendable {
    struct Counts: Sendable, Hashable {
        var requests: [String: Int] = [:]
        var answerBytes = 0
    }

    /// `http://127.0.0.1:port`, for the client.
    let endpoint: String
    private let upstreamPort: UInt16
    private let listener: Int32
    private let counts = Mutex(Counts())
    private let state = Mutex(State())

    private struct State {
        var isOpen = true
        var connections: [Int32] = []
    }

    /// Whether anybody gets through; false also ends what is open.
    var isOpen: Bool {
        get { state.withLock { $0.isOpen } }
        set {
            state.withLock { state in
                state.isOpen = newValue
                guard !newValue else { return }
                for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
                state.connections = []
            }
        }
    }

    /// - Parameter upstream: `http://127.0.0.1:port`.
    init(upstream: String) throws {
        guard let port = upstream.split(separator: ":").last.flatMap({ UInt16($0.prefix { $0 != "/" }) }),
            upstream.hasPrefix("http://127.0.0.1:")
        else { throw ServiceFailure("the S3 server's address is not http://127.0.0.1:port: \(upstream)") }
        upstreamPort = port
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound, listen(listener, 64) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        endpoint = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        Thread.detachNewThread { [weak self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0, let self else { return }
                self.serve(client)
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    /// What has passed since the last time.
    func take() -> Counts {
        counts.withLock { counts in
            let taken = counts
            counts = Counts()
            return taken
        }
    }

    private static func address(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private func serve(_ client: Int32) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(port: upstreamPort)
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            close(client)
            close(server)
            return
        }
        let isLetThrough = state.withLock { state in
            if state.isOpen { state.connections += [client, server] }
            return state.isOpen
        }
        guard isLetThrough else {
            close(client)
            close(server)
            return
        }
        pump(client, server) { [self] bytes in
            // A client sends a request's head in one piece, and nothing before the answer to the one before.
            let method = String(decoding: bytes.prefix { $0 != UInt8(ascii: " ") }.prefix(8), as: UTF8.self)
            guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(method) else { return }
            counts.withLock { $0.requests[method, default: 0] += 1 }
        }
        pump(server, client) { [self] bytes in counts.withLock { $0.answerBytes += bytes.count } }
    }

    private func pump(
        _ from: Int32, _ to: Int32, _ note: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
    ) {
        Thread.detachNewThread {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 1)
            defer { buffer.deallocate() }
            while true {
                let count = recv(from, buffer.baseAddress, buffer.count, 0)
                guard count > 0 else { break }
                // Counted before it is passed on: whoever has the answer finds it counted.
                note(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                var sent = 0
                while sent < count {
                    let step = send(
                        to, buffer.baseAddress?.advanced(by: sent), count - sent, Int32(MSG_NOSIGNAL))
                    guard step > 0 else { break }
                    sent += step
                }
                guard sent == count else { break }
            }
            // The descriptors stay until the process ends: a number that is closed here may be another's by then.
            shutdown(from, Int32(SHUT_RDWR))
            shutdown(to, Int32(SHUT_RDWR))
        }
    }
}
