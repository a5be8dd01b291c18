import Foundation
import Glibc
import Logging
import NIOSSL
import Synchronization

/// The certificate that the HTTP API shows, and its key, read again when their files change. Thread-safe.
///
/// Connections that are open keep what they began with. New files that cannot be used are told of once, and the present ones
/// go on.
public final class TLSFiles: Sendable {
    private struct Paths: Sendable {
        let certificate: String
        let key: String
        let clientAuthorities: String?
    }

    /// When and which: a file that was renamed into place is another one.
    private struct Stamp: Equatable {
        let seconds: Int
        let nanoseconds: Int
        let inode: UInt64
        let size: Int64

        init?(_ path: String) {
            var information = stat()
            guard stat(path, &information) == 0 else { return nil }
            seconds = information.st_mtim.tv_sec
            nanoseconds = information.st_mtim.tv_nsec
            inode = UInt64(information.st_ino)
            size = Int64(information.st_size)
        }
    }

    private struct State {
        var context: NIOSSLContext
        /// Of the files that were read last, whether or not they could be used.
        var stamps: [Stamp?]
    }

    private let paths: Paths
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - certificate: PEM file: the certificate, and behind it those that vouch for it.
    ///   - key: PEM file.
    ///   - clientAuthorities: PEM file of authorities; clients show a certificate of one of them. nil: they need none.
    /// - Throws: `TLSFilesError` naming the file.
    public init(certificate: String, key: String, clientAuthorities: String? = nil, logger: Logger) throws {
        paths = Paths(certificate: certificate, key: key, clientAuthorities: clientAuthorities)
        self.logger = logger
        let stamps = Self.stamps(paths)
        state = Mutex(State(context: try Self.load(paths), stamps: stamps))
        var information = stat()
        if stat(key, &information) == 0, information.st_mode & 0o077 != 0 {
            logger.warning("others may read the key of the HTTP API", metadata: ["file": "\(key)"])
        }
    }

    /// For a new connection.
    var context: NIOSSLContext {
        let stamps = Self.stamps(paths)
        return state.withLock { state in
            guard stamps != state.stamps else { return state.context }
            // Of a pair whose second half is still to come nothing is used: its stamp changes once more.
            state.stamps = stamps
            do {
                state.context = try Self.load(paths)
                logger.notice(
                    "a new certificate serves the HTTP API", metadata: ["file": "\(paths.certificate)"])
            } catch {
                logger.warning(
                    "a new certificate cannot be used; the present one goes on",
                    metadata: ["reason": "\(error)"])
            }
            return state.context
        }
    }

    private static func stamps(_ paths: Paths) -> [Stamp?] {
        [paths.certificate, paths.key, paths.clientAuthorities ?? paths.key].map { Stamp($0) }
    }

    private static func load(_ paths: Paths) throws(TLSFilesError) -> NIOSSLContext {
        let chain = try read(paths.certificate, "no PEM file of certificates") {
            try NIOSSLCertificate.fromPEMFile($0)
        }
        guard !chain.isEmpty else { throw TLSFilesError(paths.certificate, "it holds no certificate") }
        let key = try read(paths.key, "no PEM file of a key, or one that a password protects") {
            try NIOSSLPrivateKey(file: $0, format: .pem)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        if let clientAuthorities = paths.clientAuthorities {
            let authorities = try read(clientAuthorities, "no PEM file of certificates") {
                try NIOSSLCertificate.fromPEMFile($0)
            }
            guard !authorities.isEmpty else {
                throw TLSFilesError(clientAuthorities, "it holds no certificate")
            }
            configuration.trustRoots = .certificates(authorities)
            configuration.certificateVerification = .noHostnameVerification
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw TLSFilesError(
                paths.key, "it is not the key of \(paths.certificate), or cannot be used with it")
        }
    }

    private static func read<Value>(
        _ path: String, _ otherwise: String, _ body: (String) throws -> Value
    ) throws(TLSFilesError) -> Value {
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw TLSFilesError(path, "there is no such file, or it may not be read")
        }
        do {
            return try body(path)
        } catch {
            throw TLSFilesError(path, "it is \(otherwise)")
        }
    }
}

/// A certificate or a key that cannot be used.
public struct TLSFilesError: Error, CustomStringConvertible {
    public let description: String

    init(_ path: String, _ reason: String) { description = "\(path): \(reason)" }
}
