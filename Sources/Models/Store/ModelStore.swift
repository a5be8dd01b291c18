import Crypto
import DetectorAPI
import Foundation
import ObjectStore

/// The artifacts of all tenants in an object store, each version written once.
public final class ModelStore: Sendable {
    public let objects: any ObjectStore
    public let key: SymmetricKey?

    /// - Parameter hmacKey: Signs what is published, and refuses what is not signed with it; nil: neither.
    public init(objects: any ObjectStore, hmacKey: String? = nil) {
        self.objects = objects
        key = hmacKey.map { SymmetricKey(data: SHA256.hash(data: Array($0.utf8))) }
    }

    /// Writes a model under the tenant's next version number.
    ///
    /// - Returns: The header as stored, with that number.
    public func publish(_ header: ArtifactHeader, payload: [UInt8]) throws -> ArtifactHeader {
        var header = header
        header.version = (try versions(of: header.tenant).last ?? 0) + 1
        while true {
            let bytes = try Artifact.encode(header, payload: payload, key: key)
            if try objects.putIfUnchanged(artifactKey(header.tenant, header.version), bytes, .absent) {
                return header
            }
            header.version += 1  // another trainer was first
        }
    }

    /// Ascending.
    public func versions(of tenant: Tenant) throws -> [Int] {
        try objects.listAll(prefix: tenant.objectPrefix + "/").compactMap { summary in
            guard let name = summary.key.split(separator: "/").last, name.hasPrefix("v"),
                name.hasSuffix(".model")
            else { return nil }
            return Int(name.dropFirst().dropLast(6))
        }.sorted()
    }

    /// The whole artifact, or nil when there is none.
    public func bytes(of tenant: Tenant, version: Int) throws -> ArtifactBytes? {
        try objects.get(artifactKey(tenant, version)).map { ArtifactBytes(copying: $0.bytes) }
    }

    /// - Throws: `ArtifactError` for a damaged one.
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
