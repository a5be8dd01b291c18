import Foundation
import Glibc
import Synchronization

/// A server on a loopback port that answers as it is told, to show a client what no test can make a real store do.
///
/// `@unchecked Sendable`: the descriptor and the port do not change after `init`; what is received is behind a mutex.
final class ScriptedHTTPServer: @unchecked Sendable {
    struct Request: Sendable {
        let method: String
        let target: String
        /// Lower-case names.
        let headers: [String: String]
        let body: [UInt8]
        /// Which connection it came on, from 0.
        let connection: Int
    }

    enum Answer: Sendable {
        case send(Int, headers: [String: String] = [:], body: String = "")
        /// Any bytes, then the end of the connection.
        case raw(String)
        /// The end of the connection, without a word.
        case close
        /// Silence until the client goes away.
        case hang
    }

    let port: Int
    private let listener: Int32
    private let onRequest: @Sendable (Request, Int) -> Answer
    private let log = Mutex<[Request]>([])

    /// - Parameter onRequest: Gives the answer to a request and its number, from 0.
    init(_ onRequest: @escaping @Sendable (Request, Int) -> Answer) throws {
        self.onRequest = onRequest
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, length) == 0 && getsockname(listener, generic, &length) == 0
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard isBound, listen(listener, 16) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        Thread.detachNewThread { [weak self] in
            var connection = 0
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0, let self else { return }
                let number = connection
                connection += 1
                Thread.detachNewThread {
                    self.serve(client, number)
                    Glibc.close(client)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
    }

    var requests: [Request] { log.withLock { $0 } }

    private func serve(_ client: Int32, _ connection: Int) {
        while let request = read(client, connection) {
            let number = log.withLock {
                $0.append(request)
                return $0.count - 1
            }
            switch onRequest(request, number) {
            case .send(let status, let headers, let body):
                var text = "HTTP/1.1 \(status) X\r\n"
                for (name, value) in headers { text += "\(name): \(value)\r\n" }
                if headers["Content-Length"] == nil { text += "Content-Length: \(body.utf8.count)\r\n" }
                send(client, text + "\r\n" + (request.method == "HEAD" ? "" : body))
            case .raw(let text):
                send(client, text)
                return
            case .close: return
            case .hang:
                var byte: UInt8 = 0
                while recv(client, &byte, 1, 0) > 0 {}
                return
            }
        }
    }

    private func send(_ client: Int32, _ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    private func read(_ client: Int32, _ connection: Int) -> Request? {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                let lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).components(
                    separatedBy: "\r\n")
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    guard let colon = line.firstIndex(of: ":") else { continue }
                    headers[line[..<colon].lowercased()] = line[line.index(after: colon)...]
                        .trimmingCharacters(
                            in: .whitespaces)
                }
                let size = headers["content-length"].flatMap { Int($0) } ?? 0
                if received.count >= end.upperBound + size {
                    let words = lines[0].split(separator: " ").map(String.init)
                    return Request(
                        method: words[0], target: words[1], headers: headers,
                        body: Array(received[end.upperBound..<end.upperBound + size]), connection: connection)
                }
            }
            let count = recv(client, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            received += buffer[..<count]
        }
    }
}
