import Foundation
import Glibc
import Synchronization

/// A server on a Unix socket that answers as it is told, to show a client what no real Redis would.
///
/// `@unchecked Sendable`: the descriptor and the path do not change after `init`; what is received is behind a mutex.
final class ScriptedServer: @unchecked Sendable {
    enum Action: Sendable {
        /// Waits for something new, until all that has come in ends with this text.
        case receive(String)
        case send(String)
        case pause(milliseconds: Int)
        /// Says nothing until the client goes away.
        case hang
    }

    let path: String
    private let listener: Int32
    private let received = Mutex<[String]>([])

    /// - Parameter connections: What to do on the first connection, the second, and so on; each ends with a close.
    init(_ connections: [[Action]]) throws {
        path = NSTemporaryDirectory() + "redis-\(UUID().uuidString.prefix(13)).sock"
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, listen(listener, 8) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        Thread.detachNewThread { [self] in
            for actions in connections {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                serve(client, actions)
                Glibc.close(client)
            }
        }
    }

    deinit {
        Glibc.close(listener)
        unlink(path)
    }

    /// What each connection has sent, so far as the script had it read.
    var requests: [String] { received.withLock { $0 } }

    /// Waits until so many connections are over, for a minute at most.
    func waitForConnections(_ count: Int) {
        let deadline = ContinuousClock.now + .seconds(60)
        while requests.count < count, ContinuousClock.now < deadline { usleep(1_000) }
    }

    private func serve(_ client: Int32, _ actions: [Action]) {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        defer { received.withLock { $0.append(String(decoding: text, as: UTF8.self)) } }
        for action in actions {
            switch action {
            case .receive(let end):
                repeat {
                    let size = recv(client, &buffer, buffer.count, 0)
                    guard size > 0 else { return }
                    text += buffer[..<size]
                } while !text.suffix(end.utf8.count).elementsEqual(end.utf8)
            case .send(let answer):
                let bytes = Array(answer.utf8)
                _ = Glibc.send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            case .pause(let milliseconds):
                usleep(UInt32(milliseconds) * 1000)
            case .hang:
                while recv(client, &buffer, buffer.count, 0) > 0 {}
            }
        }
    }
}
