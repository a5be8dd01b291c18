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
    /// - Throws: `ArtifactError.tooLarge`, `.noVersionLeft`; `ObjectStoreError`.
    public func publish(_ header: ArtifactHeader, payload: [UInt8]) throws -> ArtifactHeader {
        var header = header
        header.version = (try versions(of: header.tenant).last ?? 0) + 1
        // Each failure is a version that another trainer has written, so somebody always gets on.
        while true {
            guard ModelNumbers.versions.contains(header.version) else {
                throw ArtifactError.noVersionLeft(key: artifactKey(header.tenant, header.version - 1))
            }
            let bytes = try Artifact.encode(header, payload: payload, key: key)
            if try objects.putIfUnchanged(artifactKey(header.tenant, header.version), bytes, .absent) {
                return header
            }
            header.version += 1
        }
    }

    /// A version as the store lists it.
    public struct StoredVersion: Sendable, Hashable {
        public let version: Int
        public let sizeBytes: Int
    }

    /// Ascending.
    public func versions(of tenant: Tenant) throws -> [Int] { try stored(of: tenant).map(\.version) }

    /// Ascending by version.
    public func stored(of tenant: Tenant) throws -> [StoredVersion] {
        let prefix = tenant.objectPrefix + "/"
        return try objects.listAll(prefix: prefix).compactMap { summary in
            let name = summary.key.dropFirst(prefix.count)
            guard name.hasPrefix("v"), name.hasSuffix(".model"),
                let version = Int(name.dropFirst().dropLast(6)), ModelNumbers.versions.contains(version)
            else { return nil }
            return StoredVersion(version: version, sizeBytes: summary.sizeBytes)
        }.sorted { $0.version < $1.version }
    }

    /// The whole artifact, unchecked, or nil when there is none.
    ///
    /// - Throws: `ObjectStoreError`, `.tooLarge` for what is larger than any artifact.
    public func bytes(of tenant: Tenant, version: Int) throws -> ArtifactBytes? {
        try objects.get(artifactKey(tenant, version), maximumSize: Artifact.maximumSize).map {
            ArtifactBytes(copying: $0.bytes)
        }
    }

    /// What a version's header says, by ranged reads: its payload is neither read nor checked, as it is before it serves.
    ///
    /// - Parameter stored: As it was listed; nil: it is looked for.
    /// - Returns: nil when there is no such version.
    /// - Throws: `ArtifactError` for a damaged one, or one without a signature; `ObjectStoreError`.
    public func header(
        of tenant: Tenant, version: Int, stored: StoredVersion? = nil
    ) throws -> ArtifactHeader? {
        let key = artifactKey(tenant, version)
        guard let size = try stored?.sizeBytes ?? objects.head(key)?.sizeBytes else { return nil }
        do {
            var beginning = try objects.get(key, range: 0..<min(size, Self.headerRead))
            let layout = try beginning.withUnsafeBytes { try Artifact.Layout($0, fileSize: size) }
            if layout.headerEnd > beginning.count {
                beginning += try objects.get(key, range: beginning.count..<layout.headerEnd)
            }
            return try beginning.withUnsafeBytes {
                try Artifact.header($0, layout, isSigned: self.key != nil)
            }
        } catch ObjectStoreError.notFound {
            return nil
        }
    }

    /// Most headers fit into this many bytes.
    private static let headerRead = 32_768

    /// Removes every version of a tenant.
    ///
    /// - Returns: How many.
    public func removeAll(of tenant: Tenant) throws -> Int {
        let summaries = try objects.listAll(prefix: tenant.objectPrefix + "/")
        for summary in summaries { try objects.delete(summary.key) }
        return summaries.count
    }

    private func artifactKey(_ tenant: Tenant, _ version: Int) -> String {
        "\(tenant.objectPrefix)/v\(version).model"
    }
}
