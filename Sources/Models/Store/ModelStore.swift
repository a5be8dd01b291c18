import Crypto
import DetectorAPI
import Foundation
import ObjectStore

/// The artifacts of all tenants in an object store, each version written once. Thread-safe; calls block.
public final class ModelStore: Sendable {
    public let objects: any ObjectStore
    /// Signs what is published, and refuses what is not signed with it; nil: neither.
    public let key: SymmetricKey?
    /// Names the key without telling it; empty when there is none.
    let signer: Data

    /// - Parameter hmacKey: A secret of any length; its SHA-256 is the key.
    public init(objects: any ObjectStore, hmacKey: String? = nil) {
        self.objects = objects
        let key = hmacKey.map { SymmetricKey(data: SHA256.hash(data: Array($0.utf8))) }
        self.key = key
        signer =
            key.map { Data(HMAC<SHA256>.authenticationCode(for: Array("signer".utf8), using: $0)) } ?? Data()
    }

    /// Writes a model under the tenant's next version number.
    ///
    /// - Returns: The header as stored, with that number.
    /// - Throws: `ArtifactError.tooLarge`; `ObjectStoreError`.
    public func publish(_ header: ArtifactHeader, payload: [UInt8]) throws -> ArtifactHeader {
        var header = header
        header.version = (try versions(of: header.tenant).last ?? 0) + 1
        // Each failure is a version that another trainer has written, so somebody always gets on.
        while true {
            let bytes = try Artifact.encode(header, payload: payload, key: key)
            if try objects.putIfUnchanged(artifactKey(header.tenant, header.version), bytes, .absent) {
                return header
            }
            header.version += 1
        }
    }

    /// Ascending.
    public func versions(of tenant: Tenant) throws -> [Int] {
        let prefix = tenant.objectPrefix + "/"
        return try objects.listAll(prefix: prefix).compactMap { summary in
            let name = summary.key.dropFirst(prefix.count)
            guard name.hasPrefix("v"), name.hasSuffix(".model"),
                let version = Int(name.dropFirst().dropLast(6)), version > 0
            else { return nil }
            return version
        }.sorted()
    }

    /// The whole artifact, unchecked, or nil when there is none.
    public func bytes(of tenant: Tenant, version: Int) throws -> ArtifactBytes? {
        try objects.get(artifactKey(tenant, version)).map { ArtifactBytes(copying: $0.bytes) }
    }

    /// - Throws: `ArtifactError` for a damaged one, or one that is not signed; `ObjectStoreError`.
    public func header(of tenant: Tenant, version: Int) throws -> ArtifactHeader? {
        try bytes(of: tenant, version: version).map { try Artifact(decoding: $0, key: key).header }
    }

    /// Removes every version of a tenant.
    public func removeAll(of tenant: Tenant) throws {
        for summary in try objects.listAll(prefix: tenant.objectPrefix + "/") {
            try objects.delete(summary.key)
        }
    }

    private func artifactKey(_ tenant: Tenant, _ version: Int) -> String {
        "\(tenant.objectPrefix)/v\(version).model"
    }
}
