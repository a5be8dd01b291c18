import Crypto
import DetectorAPI
import Foundation
import ObjectStore
import Signing

/// The artifacts of all tenants in an object store, each version written once. Thread-safe; calls block.
public final class ModelStore: Sendable {
    public let objects: any ObjectStore
    /// Sign what is published, and refuse what is not signed with one of them.
    let keys: SigningKeys
    let limits: UserModelLimits
    let indexes = PackIndexes()
    let signatures: SignatureLists

    /// What signs; nil: nothing is signed.
    var key: SymmetricKey? { keys.newest }

    /// - Parameter hmacKey: A secret of any length, and the only one.
    public convenience init(objects: any ObjectStore, hmacKey: String? = nil) {
        self.init(objects: objects, keys: SigningKeys(newest: hmacKey))
    }

    public init(
        objects: any ObjectStore, keys: SigningKeys, limits: UserModelLimits = UserModelLimits()
    ) {
        self.objects = objects
        self.keys = keys
        self.limits = limits
        signatures = SignatureLists(objects: objects, keys: keys)
    }

    /// The number of a tenant's next version.
    public func nextVersion(of tenant: Tenant) throws -> Int { try next(tenant, after: stored(of: tenant)) }

    /// A version that was active keeps its number when its artifact is gone: verdicts and the history name it.
    private func next(_ tenant: Tenant, after stored: [StoredVersion]) throws -> Int {
        max(stored.last?.version ?? 0, try Catalogue(objects: objects).highestVersion(of: tenant)) + 1
    }

    /// Writes a model under the tenant's next version number, unless the same job has taken that meanwhile.
    ///
    /// - Parameter number: The first that is tried; nil: the next.
    /// - Returns: The header as stored, with that number.
    /// - Throws: `ArtifactError.tooLarge`, also for a user's model beyond `limits`, `.noVersionLeft`; `ObjectStoreError`.
    public func publish(
        _ header: ArtifactHeader, payload: [UInt8], from number: Int? = nil
    ) throws -> ArtifactHeader {
        var header = header
        let stored = try stored(of: header.tenant)
        header.version = try number ?? next(header.tenant, after: stored)
        // Each failure is a version that another trainer has written, so somebody always gets on.
        while true {
            guard ModelNumbers.versions.contains(header.version) else {
                throw ArtifactError.noVersionLeft(key: artifactKey(header.tenant, header.version - 1))
            }
            let bytes = try Artifact.encode(header, payload: payload, key: key)
            try limits.check(header.tenant, sizeBytes: bytes.count, stored: stored)
            let key = artifactKey(header.tenant, header.version)
            if try objects.putIfUnchanged(key, bytes, .absent) {
                // A pack that came meanwhile may have the same number; whoever sees the other gives way.
                let isTaken = try packed(of: header.tenant).contains { $0.entry.version == header.version }
                if !isTaken { return header }
                try objects.delete(key)
            } else if let jobID = header.jobID,
                let other = try self.header(of: header.tenant, version: header.version, ofJob: jobID)
            {
                return other
            }
            header.version += 1
        }
    }

    /// A version that a job has stored; nil: it is another's, or cannot be read.
    private func header(of tenant: Tenant, version: Int, ofJob jobID: String) throws -> ArtifactHeader? {
        do {
            let header = try header(of: tenant, version: version)
            return header?.jobID == jobID ? header : nil
        } catch is ArtifactError {
            return nil
        }
    }

    /// A version as the store lists it.
    public struct StoredVersion: Sendable, Hashable {
        public let version: Int
        public let sizeBytes: Int
        /// In which pack; nil: it is an object of its own.
        public let place: PackPlace?

        init(version: Int, sizeBytes: Int, place: PackPlace? = nil) {
            self.version = version
            self.sizeBytes = sizeBytes
            self.place = place
        }
    }

    /// Ascending.
    public func versions(of tenant: Tenant) throws -> [Int] { try stored(of: tenant).map(\.version) }

    /// Ascending by version.
    public func stored(of tenant: Tenant) throws -> [StoredVersion] {
        let prefix = tenant.objectPrefix + "/"
        var versions: [Int: StoredVersion] = [:]
        for (pack, entry) in try packed(of: tenant) {
            versions[entry.version] = Self.version(entry, of: pack)
        }
        // An object of its own stands against one in a pack.
        for summary in try objects.listAll(prefix: prefix) {
            guard let version = Self.version(ofName: summary.key.dropFirst(prefix.count)) else { continue }
            versions[version] = StoredVersion(version: version, sizeBytes: summary.sizeBytes)
        }
        return versions.values.sorted { $0.version < $1.version }
    }

    /// One version as `stored(of:)` lists it.
    func stored(of tenant: Tenant, version: Int) throws -> StoredVersion? {
        if let summary = try objects.head(artifactKey(tenant, version)) {
            return StoredVersion(version: version, sizeBytes: summary.sizeBytes)
        }
        return try packed(of: tenant).lazy.filter { $0.entry.version == version }.first.map {
            Self.version($0.entry, of: $0.pack)
        }
    }

    private static func version(_ entry: PackIndex.Entry, of pack: FoundPack) -> StoredVersion {
        StoredVersion(
            version: entry.version, sizeBytes: entry.sizeBytes,
            place: PackPlace(pack: pack.summary.key, offset: entry.offset, sizeBytes: entry.sizeBytes))
    }

    /// `v3.model`
    static func version(ofName name: Substring) -> Int? {
        guard name.hasPrefix("v"), name.hasSuffix(".model"), let version = Int(name.dropFirst().dropLast(6)),
            ModelNumbers.versions.contains(version)
        else { return nil }
        return version
    }

    /// The whole artifact, unchecked, or nil when there is none.
    ///
    /// - Throws: `ObjectStoreError`, `.tooLarge` for what is larger than any artifact.
    public func bytes(of tenant: Tenant, version: Int) throws -> ArtifactBytes? {
        try find(tenant, version: version)?.bytes
    }

    /// An artifact, and where it lies.
    struct Found {
        let bytes: ArtifactBytes
        let place: PackPlace?
    }

    /// - Parameter place: Where the catalogue says that it lies; nil: it is looked for, first as an object of its own.
    func find(_ tenant: Tenant, version: Int, at place: PackPlace? = nil) throws -> Found? {
        if let place, let bytes = try bytes(at: place) { return Found(bytes: bytes, place: place) }
        if let object = try objects.get(artifactKey(tenant, version), maximumSize: Artifact.maximumSize) {
            return Found(bytes: ArtifactBytes(copying: object.bytes), place: nil)
        }
        for (pack, entry) in try packed(of: tenant) where entry.version == version {
            guard let place = Self.version(entry, of: pack).place, let bytes = try bytes(at: place) else {
                continue
            }
            return Found(bytes: bytes, place: place)
        }
        return nil
    }

    /// What a version's header says, by ranged reads: its payload is neither read nor checked, as it is before it serves.
    ///
    /// - Parameter stored: As it was listed; nil: it is looked for.
    /// - Returns: nil when there is no such version.
    /// - Throws: `ArtifactError` for a damaged one, or one without a signature; `ObjectStoreError`.
    public func header(
        of tenant: Tenant, version: Int, stored: StoredVersion? = nil
    ) throws -> ArtifactHeader? {
        guard let stored = try stored ?? self.stored(of: tenant, version: version) else { return nil }
        let key = stored.place?.pack ?? artifactKey(tenant, version)
        let (start, size) = (stored.place?.offset ?? 0, stored.sizeBytes)
        do {
            var beginning = try objects.get(key, range: start..<start + min(size, Self.headerRead))
            let layout = try beginning.withUnsafeBytes { try Artifact.Layout($0, fileSize: size) }
            if layout.headerEnd > beginning.count {
                beginning += try objects.get(
                    key, range: start + beginning.count..<start + layout.headerEnd)
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
        return summaries.count + (try erasePacked(of: tenant))
    }

    func artifactKey(_ tenant: Tenant, _ version: Int) -> String {
        "\(tenant.objectPrefix)/v\(version).model"
    }
}
