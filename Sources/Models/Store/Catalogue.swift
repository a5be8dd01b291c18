import Foundation
import ObjectStore

/// One change of what is active.
public struct ModelChange: Codable, Sendable, Hashable {
    /// nil: the global model.
    public var userID: String?
    /// nil: none was active.
    public var from: Int?
    /// nil: deactivated.
    public var to: Int?
    public var by: String
    public var reason: String
    public var timeMilliseconds: Int64

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }
}

/// Which version is active for whom: 256 shard manifests and the global one, changed by conditional writes only.
public final class Catalogue: Sendable {
    struct Manifest: Codable {
        struct Entry: Codable {
            var version: Int?
            var changes: [ModelChange]
        }
        /// By user id; the global manifest has one entry, "".
        var entries: [String: Entry] = [:]
    }

    private let objects: any ObjectStore

    public init(objects: any ObjectStore) { self.objects = objects }

    public func active(_ tenant: Tenant) throws -> Int? {
        try read(tenant.manifestKey).manifest.entries[tenant.userID ?? ""]?.version
    }

    /// Every change of a tenant, oldest first.
    public func changes(of tenant: Tenant) throws -> [ModelChange] {
        try read(tenant.manifestKey).manifest.entries[tenant.userID ?? ""]?.changes ?? []
    }

    /// Every active version.
    public func all() throws -> [Tenant: Int] {
        var active: [Tenant: Int] = [:]
        for summary in try objects.listAll(prefix: "models/catalogue/") {
            for (userID, entry) in try read(summary.key).manifest.entries {
                guard let version = entry.version else { continue }
                active[userID.isEmpty ? .global : .user(userID)] = version
            }
        }
        return active
    }

    /// Makes versions active, one write for each manifest they lie in.
    ///
    /// - Parameter versions: nil: no version of that tenant is active any more.
    /// - Returns: What changed; a version that was active already is left out.
    public func activate(
        _ versions: [Tenant: Int?], by: String, reason: String, timeMilliseconds: Int64
    ) throws -> [ModelChange] {
        var changes: [ModelChange] = []
        for (key, tenants) in Dictionary(grouping: versions.keys, by: \.manifestKey).sorted(by: {
            $0.key < $1.key
        }) {
            changes += try update(key) { manifest in
                tenants.sorted { $0.description < $1.description }.compactMap { tenant in
                    var entry = manifest.entries[tenant.userID ?? ""] ?? .init(version: nil, changes: [])
                    let version = versions[tenant] ?? nil
                    guard entry.version != version else { return nil }
                    let change = ModelChange(
                        userID: tenant.userID, from: entry.version, to: version, by: by, reason: reason,
                        timeMilliseconds: timeMilliseconds)
                    entry.version = version
                    entry.changes.append(change)
                    manifest.entries[tenant.userID ?? ""] = entry
                    return change
                }
            }
        }
        return changes
    }

    /// Removes a tenant and its history.
    public func remove(_ tenant: Tenant) throws {
        try update(tenant.manifestKey) { manifest in
            manifest.entries[tenant.userID ?? ""] = nil
            return []
        }
    }

    @discardableResult
    private func update(_ key: String, _ change: (inout Manifest) -> [ModelChange]) throws -> [ModelChange] {
        while true {
            var (manifest, tag) = try read(key)
            let changes = change(&manifest)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let bytes = [UInt8](try encoder.encode(manifest))
            // Somebody else may have changed this manifest meanwhile: then look again.
            if try objects.putIfUnchanged(key, bytes, tag.map { .unchanged($0) } ?? .absent) {
                return changes
            }
        }
    }

    private func read(_ key: String) throws -> (manifest: Manifest, tag: VersionTag?) {
        guard let object = try objects.get(key) else { return (Manifest(), nil) }
        do {
            return (try JSONDecoder().decode(Manifest.self, from: Data(object.bytes)), object.tag)
        } catch {
            throw ObjectStoreError.failed(
                location: "\(objects.location)/\(key)", reason: "it is no catalogue manifest")
        }
    }
}
