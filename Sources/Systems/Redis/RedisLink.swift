import CHiredis
import Glibc

/// One open connection: hiredis connects and parses, this sends and receives.
///
/// Not through hiredis' own `redisBufferWrite`: that is `write(2)`, which raises SIGPIPE when the server has gone; its
/// timeouts bound each system call, not the command; and it copies the arguments twice. After any error
/// the link is useless, since answers may still be under way: the owner drops it. Used by one thread at a time.
final class RedisLink {
    private let context: UnsafeMutablePointer<redisContext>
    private let parser: ReplyParser
    private let tape: ReplyTape
    private let address: RedisAddress
    private let buffer: UnsafeMutableRawBufferPointer
    /// nil: in the clear.
    private var tls: TLSSession?
    /// What TLS has decrypted; empty without it.
    private var plain = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// A single read. Redis writes up to 64 KiB at once.
    private static let readSize = 128 << 10
    /// No reply that this service asks for comes near; more means that something is wrong at the other end.
    private static let maximumReplySize = 512 << 20

    /// Connects, without logging in.
    init(_ address: RedisAddress, timeoutMilliseconds: Int, tape: ReplyTape) throws(RedisError) {
        self.address = address
        self.tape = tape
        let timeout = timeval(
            tv_sec: timeoutMilliseconds / 1000, tv_usec: suseconds_t(timeoutMilliseconds % 1000 * 1000))
        let opened: UnsafeMutablePointer<redisContext>? =
            switch address.endpoint {
            case .tcp(let host, let port): redisConnectWithTimeout(host, port, timeout)
            case .unix(let path): redisConnectUnixWithTimeout(path, timeout)
            }
        guard let context = opened, let parser = ReplyParser(tape: tape) else {
            if let opened { redisFree(opened) }
            throw RedisError(
                .unavailable("there is no memory for a connection"), address: address.description)
        }
        guard context.pointee.err == 0 else {
            let reason = withUnsafeBytes(of: &context.pointee.errstr) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            redisFree(context)
            throw RedisError(.unavailable(reason), address: address.description)
        }
        self.context = context
        self.parser = parser
        buffer = .allocate(byteCount: Self.readSize, alignment: 16)
        _ = fcntl(context.pointee.fd, F_SETFD, FD_CLOEXEC)
        guard case .tcp(let host, _) = address.endpoint else { return }
        redisEnableKeepAlive(context)
        guard let settings = address.tls else { return }
        plain = .allocate(byteCount: Self.readSize, alignment: 16)
        let deadline = Deadline(timeoutMilliseconds: timeoutMilliseconds)
        try secure { () throws(TLSSession.Failure) in tls = try TLSSession(settings, host: host) }
        while try secure({ () throws(TLSSession.Failure) in try tls?.handshake() }) == false {
            try sendEncrypted(deadline: deadline)
            try receiveEncrypted(deadline)
        }
        try sendEncrypted(deadline: deadline)
    }

    deinit {
        redisFree(context)
        buffer.deallocate()
        plain.deallocate()
    }

    // MARK: TLS

    private func secure<Result>(
        _ body: () throws(TLSSession.Failure) -> Result
    ) throws(RedisError) -> Result {
        do throws(TLSSession.Failure) {
            return try body()
        } catch {
            throw self.error(.unavailable("TLS: \(error.reason)"))
        }
    }

    /// Sends what TLS has to say, if anything.
    private func sendEncrypted(hasMore: Bool = false, deadline: Deadline) throws(RedisError) {
        guard let encrypted = tls?.takeOutgoing(), !encrypted.isEmpty else { return }
        try sendAll(encrypted, hasMore: hasMore, deadline: deadline)
    }

    /// Waits for bytes of the server's, and gives them to TLS.
    private func receiveEncrypted(_ deadline: Deadline) throws(RedisError) {
        while true {
            let count = recv(context.pointee.fd, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                return try secure { () throws(TLSSession.Failure) in try tls?.feed(bytes) }
            }
            if count == 0 { throw error(.unavailable("the server closed the connection")) }
            if errno == EAGAIN {
                try wait(for: Int16(POLLIN), deadline)
            } else if errno != EINTR {
                throw broken(errno)
            }
        }
    }

    /// Whole replies of the server's over TLS: some bytes of them.
    private func receivePlain(_ tls: TLSSession, _ deadline: Deadline) throws(RedisError)
        -> UnsafeRawBufferPointer
    {
        while true {
            let count = try secure { () throws(TLSSession.Failure) in try tls.read(into: plain) }
            // A change of keys is answered.
            try sendEncrypted(deadline: deadline)
            if count == 0 { throw error(.unavailable("the server closed the connection")) }
            if let count { return UnsafeRawBufferPointer(rebasing: plain[..<count]) }
            try receiveEncrypted(deadline)
        }
    }

    /// Whether an idle connection has ended, or holds more than what TLS says to itself: after the handshake a server sends
    /// tickets for later sessions.
    private func isStale(_ tls: TLSSession) -> Bool {
        do {
            while true {
                if try tls.read(into: plain) != nil { return true }
                let count = recv(context.pointee.fd, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count == 0 || errno != EAGAIN }
                try tls.feed(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        } catch {
            return true
        }
    }

    /// Whether the server has closed an idle connection, or has sent something that nobody asked for.
    var isStale: Bool {
        if let tls { return isStale(tls) }
        var byte: UInt8 = 0
        while true {
            if recv(context.pointee.fd, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) >= 0 { return true }
            if errno != EINTR { return errno != EAGAIN }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// - Parameter hasMore: Another part of the same commands follows at once, so a short packet can wait for it.
    func send(_ bytes: [UInt8], hasMore: Bool, deadline: Deadline) throws(RedisError) {
        guard let tls else { return try sendAll(bytes, hasMore: hasMore, deadline: deadline) }
        let outcome = bytes.withUnsafeBytes { buffer -> TLSSession.Failure? in
            do throws(TLSSession.Failure) {
                try tls.write(buffer)
                return nil
            } catch {
                return error
            }
        }
        if let outcome { throw error(.unavailable("TLS: \(outcome.reason)")) }
        try sendEncrypted(hasMore: hasMore, deadline: deadline)
    }

    private func sendAll(_ bytes: [UInt8], hasMore: Bool, deadline: Deadline) throws(RedisError) {
        // MSG_NOSIGNAL: a server that has gone is an error here, not a signal that ends the process.
        let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT | (hasMore ? MSG_MORE : 0))
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(context.pointee.fd, $0.baseAddress! + sent, $0.count - sent, flags)
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try wait(for: Int16(POLLOUT), deadline)
            } else if errno != EINTR {
                throw broken(errno)
            }
        }
    }

    /// Receives so many whole replies onto the tape, and nothing more.
    func receive(replyCount: Int, deadline: Deadline) throws(RedisError) {
        var missing = replyCount
        var receivedSize = 0
        while true {
            while missing > 0 {
                let step = parser.next()
                if case .damaged(let reason) = step { throw error(.protocol(reason)) }
                guard case .reply = step else { break }
                missing -= 1
            }
            if missing == 0 { break }
            guard receivedSize <= Self.maximumReplySize else {
                throw error(.protocol("the reply has more than \(Self.maximumReplySize) bytes"))
            }
            if let tls {
                let bytes = try receivePlain(tls, deadline)
                receivedSize += bytes.count
                if let reason = parser.feed(bytes) { throw error(.protocol(reason)) }
                continue
            }
            let count = recv(context.pointee.fd, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                receivedSize += count
                if let reason = parser.feed(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                    throw error(.protocol(reason))
                }
            } else if count == 0 {
                throw error(.unavailable("the server closed the connection"))
            } else if errno == EAGAIN {
                try wait(for: Int16(POLLIN), deadline)
            } else if errno != EINTR {
                throw broken(errno)
            }
        }
        guard parser.unreadCount == 0 else { throw error(.protocol("it sent more than was asked for")) }
    }

    private func wait(for events: Int16, _ deadline: Deadline) throws(RedisError) {
        while true {
            let remaining = deadline.remainingMilliseconds
            guard remaining > 0 else { throw error(.timeout(milliseconds: deadline.timeoutMilliseconds)) }
            var descriptor = pollfd(fd: context.pointee.fd, events: events, revents: 0)
            let ready = poll(&descriptor, 1, Int32(clamping: remaining))
            // An error or a hang-up is reported by the send or recv that follows.
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw broken(errno) }
        }
    }

    private func broken(_ code: Int32) -> RedisError { error(.unavailable(String(cString: strerror(code)))) }

    private func error(_ kind: RedisError.Kind) -> RedisError {
        RedisError(kind, address: address.description)
    }
}

/// The end of what a command may take.
struct Deadline {
    let timeoutMilliseconds: Int
    private let endNanoseconds: Int

    init(timeoutMilliseconds: Int) {
        self.timeoutMilliseconds = timeoutMilliseconds
        endNanoseconds = Self.nowNanoseconds + timeoutMilliseconds * 1_000_000
    }

    /// Rounded up, so that a wait of this length reaches the end.
    var remainingMilliseconds: Int { max(0, (endNanoseconds - Self.nowNanoseconds + 999_999) / 1_000_000) }

    private static var nowNanoseconds: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
