import COpenSSL
import Glibc

/// One TLS connection, client's side, between memory and memory: its user moves the encrypted bytes.
///
/// So sockets are read and written in one place, with its deadlines and without SIGPIPE. TLS 1.2 or later; the server's
/// certificate and its name are always checked. Used by one thread at a time.
final class TLSSession {
    struct Failure: Error {
        let reason: String
    }

    private let session: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    /// What is read of encrypted bytes at once.
    private static let step = 64 << 10

    /// - Parameter host: The name, or the address, that the certificate has to be of.
    init(_ settings: RedisTLS, host: String) throws(Failure) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw Self.failure("TLS cannot start") }
        // The session keeps it.
        defer { SSL_CTX_free(context) }
        try Self.prepare(context, settings)
        guard let session = SSL_new(context), let incoming = BIO_new(BIO_s_mem()),
            let outgoing = BIO_new(BIO_s_mem())
        else { throw Self.failure("there is no memory for TLS") }
        // Owns both from here on.
        SSL_set_bio(session, incoming, outgoing)
        (self.session, self.incoming, self.outgoing) = (session, incoming, outgoing)
        var address = in6_addr()
        let isAddress = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
        let isNamed =
            isAddress
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
            : SSL_set1_host(session, host) == 1 && copenssl_set_server_name(session, host) == 1
        guard isNamed else { throw Self.failure("'\(host)' is no name of a server") }
        SSL_set_connect_state(session)
    }

    deinit { SSL_free(session) }

    private static func prepare(_ context: OpaquePointer, _ settings: RedisTLS) throws(Failure) {
        copenssl_ask_for_no_password(context)
        copenssl_refuse_renegotiation(context)
        guard copenssl_set_minimum_version(context) == 1 else { throw failure("TLS 1.2 is not to be had") }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        if let path = settings.authorities {
            guard SSL_CTX_load_verify_file(context, path) == 1 else {
                throw failure("the authorities of \(path) cannot be read")
            }
        } else if SSL_CTX_set_default_verify_paths(context) != 1 {
            throw failure("the system's authorities cannot be read")
        }
        guard let certificate = settings.certificate else { return }
        guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
            throw failure("the certificate \(certificate) cannot be read")
        }
        let key = settings.key ?? certificate
        guard copenssl_use_key_file(context, key) == 1 else { throw failure("the key \(key) cannot be read") }
        guard SSL_CTX_check_private_key(context) == 1 else {
            throw failure("\(key) is not the key of \(certificate)")
        }
    }

    // MARK: The connection

    /// Goes on with the handshake.
    ///
    /// - Returns: Whether it is done; otherwise more of the server's bytes are needed.
    func handshake() throws(Failure) -> Bool {
        ERR_clear_error()
        let outcome = SSL_do_handshake(session)
        if outcome == 1 { return true }
        try checkWaiting(outcome)
        return false
    }

    /// Encrypts bytes, which are then in `takeOutgoing`.
    func write(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        var start = 0
        while start < bytes.count {
            ERR_clear_error()
            var written = 0
            let outcome = SSL_write_ex(session, bytes.baseAddress! + start, bytes.count - start, &written)
            guard outcome == 1 else { throw Self.failure("it cannot be written to") }
            start += written
        }
    }

    /// The encrypted bytes that are to be sent, if there are any.
    func takeOutgoing() -> [UInt8] {
        let waiting = BIO_ctrl_pending(outgoing)
        guard waiting > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: waiting) { buffer, count in
            count = max(0, Int(BIO_read(outgoing, buffer.baseAddress, Int32(clamping: waiting))))
        }
    }

    /// Takes encrypted bytes of the server's.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        guard BIO_write(incoming, bytes.baseAddress, Int32(clamping: bytes.count)) == bytes.count else {
            throw Failure(reason: "there is no memory for TLS")
        }
    }

    /// Decrypts into a buffer.
    ///
    /// - Returns: How many bytes; nil: more of the server's are needed; 0: the server has ended the connection.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Failure) -> Int? {
        ERR_clear_error()
        var count = 0
        let outcome = SSL_read_ex(session, buffer.baseAddress, buffer.count, &count)
        if outcome == 1 { return count }
        if SSL_get_error(session, outcome) == SSL_ERROR_ZERO_RETURN { return 0 }
        try checkWaiting(outcome)
        return nil
    }

    private func checkWaiting(_ outcome: Int32) throws(Failure) {
        switch SSL_get_error(session, outcome) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return
        default:
            let verified = SSL_get_verify_result(session)
            guard verified == Int(X509_V_OK) else {
                let reason =
                    X509_verify_cert_error_string(verified).map { String(cString: $0) } ?? "\(verified)"
                throw Failure(reason: "the server's certificate is refused: \(reason)")
            }
            throw Self.failure("the server does not speak TLS as it should")
        }
    }

    /// With what OpenSSL says of it.
    private static func failure(_ what: String) -> Failure {
        let code = ERR_get_error()
        guard code != 0, let reason = ERR_reason_error_string(code) else { return Failure(reason: what) }
        return Failure(reason: "\(what): \(String(cString: reason))")
    }
}
