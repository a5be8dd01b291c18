import Crypto
import Foundation

/// The secrets that this service signs with: the newest signs, all of them verify, so that one can be replaced while what
/// the others have signed is still there. Immutable.
///
///     let keys = SigningKeys(newest: "this year's", older: ["last year's"])
///     let tag = keys.sign(bytes)
///     keys.signer(of: tag ?? [], authenticating: bytes) == keys.newestSigner
public struct SigningKeys: Sendable {
    private let keys: [(key: SymmetricKey, signer: Data)]

    /// Signs nothing and believes everything.
    public static let none = SigningKeys(newest: nil)

    /// - Parameters:
    ///   - newest: A secret of any length; its SHA-256 is the key. nil: nothing is signed or verified.
    ///   - older: These verify only.
    public init(newest: String?, older: [String] = []) {
        keys = (newest.map { [$0] + older } ?? []).map { secret in
            let key = SymmetricKey(data: SHA256.hash(data: Array(secret.utf8)))
            return (key, Data(HMAC<SHA256>.authenticationCode(for: Array("signer".utf8), using: key)))
        }
    }

    public var isEmpty: Bool { keys.isEmpty }

    /// The key that signs.
    public var newest: SymmetricKey? { keys.first?.key }

    /// Names the key that signs without telling it; empty when there is none.
    public var newestSigner: Data { keys.first?.signer ?? Data() }

    /// The names of all keys, newest first; one empty name when there are none.
    public var signers: [Data] { keys.isEmpty ? [Data()] : keys.map(\.signer) }

    /// nil: there is no key.
    public func sign(_ bytes: some DataProtocol) -> [UInt8]? {
        newest.map { Array(HMAC<SHA256>.authenticationCode(for: bytes, using: $0)) }
    }

    /// The name of the key that has made a signature; nil: none of these has.
    public func signer(of signature: [UInt8], authenticating bytes: some DataProtocol) -> Data? {
        guard signature.count == SHA256.byteCount else { return nil }
        return keys.first {
            HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: bytes, using: $0.key)
        }?.signer
    }
}
