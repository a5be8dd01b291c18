import Glibc

/// One end of a TCP connection on loopback that carries Kafka's frames: four bytes of length, and so many bytes.
final class Wire: Sendable {
    let descriptor: Int32

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { Glibc.close(descriptor) }

    /// nil: nobody listens there.
    static func connect(port: UInt16) -> Wire? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let wire = Wire(descriptor)
        let isConnected = withLoopback(port: port) { Glibc.connect(descriptor, $0, $1) == 0 }
        return isConnected ? wire : nil
    }

    /// Wakes whoever reads or writes; both then see the end.
    func end() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Reading takes a longer silence for the end.
    func limitWait(seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// nil: the connection has ended.
    func read() -> [UInt8]? {
        guard let header = read(count: 4) else { return nil }
        let size = header.reduce(0) { $0 << 8 | Int($1) }
        return size < 1 << 30 ? read(count: size) : nil
    }

    private func read(count: Int) -> [UInt8]? {
        var filled = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while filled < count {
                let received = recv(descriptor, buffer.baseAddress! + filled, count - filled, 0)
                if received < 0, errno == EINTR { continue }
                guard received > 0 else { break }
                filled += received
            }
            initialized = filled
        }
        return filled == count ? bytes : nil
    }

    /// - Returns: Whether all of it was taken.
    func write(_ frame: [UInt8]) -> Bool {
        var bytes = withUnsafeBytes(of: UInt32(frame.count).bigEndian) { Array($0) }
        bytes.append(contentsOf: frame)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }
}

/// Lends the address of a port on loopback.
func withLoopback<Result>(
    port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
