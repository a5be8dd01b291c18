import Exact
import Foundation
import ObjectStore
import Signing

/// A catalogue that cannot be read or written.
public enum CatalogueError: Error, Sendable, Hashable, CustomStringConvertible {
    /// An object of the catalogue is not what it should be: restore it from a copy, or from the history.
    case malformed(key: String, reason: String)
    /// An object of the catalogue is not the one that this service has written: see `SealError`.
    case untrusted(key: String, reason: SealError)
    /// Others changed the same manifest again and again meanwhile: try again.
    case contended(key: String, attempts: Int)
    /// Somebody else has made another version active since this promotion was begun.
    case overtaken(tenant: String, active: Int?, by: String)

    /// The object that cannot be read or written; nil: it is no matter of one.
    var key: String? {
        switch self {
        case .malformed(let key, _), .untrusted(let key, _), .contended(let key, _): key
        case .overtaken: nil
        }
    }

    public var description: String {
        switch self {
        case .malformed(let key, let reason): "\(key) is damaged: \(reason)"
        case .untrusted(let key, let reason): "\(key) is refused: \(reason)"
        case .contended(let key, let attempts):
            "\(key) was changed by others in each of \(attempts) attempts; try again"
        case .overtaken(let tenant, let active, let by):
            "\(by) has made \(active.map { "v\($0)" } ?? "nothing") active for \(tenant) meanwhile; that stands: look at "
                + "it, and promote again if you still want to"
        }
    }
}

/// Which version is active for whom: 256 shard manifests and the global one, changed by conditional writes only.
///
/// Every change is kept: the newest in the tenant's entry, the older ones in objects of their own, which are written
/// before the manifest lets go of them. Thread-safe; calls block.
public final class Catalogue: Sendable {
    /// Changes that an entry holds before they are folded into an object.
    static let maximumChangesPerEntry = 4
    private static let maximumAttempts = 200
    /// A manifest of a hundred thousand users with long names and reasons.
    private static let maximumObjectSize = 128 << 20

    let objects: any ObjectStore
    let sealing: Sealing

    /// - Parameter sealing: Of manifests and history.
    public init(objects: any ObjectStore, sealing: Sealing = .none) {
        self.objects = objects
        self.sealing = sealing
    }

    // MARK: Reading

    public func active(_ tenant: Tenant) throws -> Int? {
        try read(tenant.manifestKey).manifest.active(tenant)?.version
    }

    /// Every change of a tenant, oldest first.
    ///
    /// - Throws: `CatalogueError.malformed` also when a part is missing, `CatalogueError.untrusted`.
    public func changes(of tenant: Tenant) throws -> [ModelChange] {
        guard let entry = try read(tenant.manifestKey).manifest.entries[tenant] else { return [] }
        guard entry.folded > 0 else { return entry.changes }
        var changes: [ModelChange] = []
        for summary in try objects.listAll(prefix: tenant.historyPrefix + "/") {
            let part = try history(of: tenant, key: summary.key)
            // Only what the manifest has let go of: an object may have been written for one that was not.
            changes += part.filter { $0.sequence <= entry.folded }
        }
        guard changes.map(\.sequence) == Array(1...entry.folded) else {
            throw CatalogueError.malformed(
                key: tenant.historyPrefix, reason: "some of the \(entry.folded) changes are missing")
        }
        return changes + entry.changes
    }

    /// The highest number that a tenant's history names; 0: it names none.
    func highestVersion(of tenant: Tenant) throws -> Int {
        guard let entry = try read(tenant.manifestKey).manifest.entries[tenant] else { return 0 }
        var highest = entry.changes.highestVersion
        guard entry.folded > 0 else { return highest }
        for summary in try objects.listAll(prefix: tenant.historyPrefix + "/") {
            do {
                highest = max(highest, try history(of: tenant, key: summary.key).highestVersion)
            } catch is CatalogueError {
                // An old part of the history that cannot be read is no reason to store no model any more.
            }
        }
        return highest
    }

    /// The highest number that the newest changes name, of each tenant of a shard, `00` to `ff`.
    func highestVersions(inShard shard: String) throws -> [Tenant: Int] {
        try read("\(Tenant.manifestPrefix)\(shard).json").manifest.entries.mapValues(\.changes.highestVersion)
    }

    /// Everything that is active.
    public func all() throws -> [Tenant: ActiveModel] {
        var active: [Tenant: ActiveModel] = [:]
        let loaded = try load(except: [:])
        if let damaged = loaded.damaged.first { throw damaged }
        for shard in loaded.changed { active.merge(shard.active) { $1 } }
        return active
    }

    /// What is active now for some tenants, by one read of each manifest they lie in; tenants without a model are left
    /// out.
    public func active(_ tenants: Set<Tenant>) throws -> [Tenant: ActiveModel] {
        var active: [Tenant: ActiveModel] = [:]
        for (key, tenants) in Dictionary(grouping: tenants, by: \.manifestKey) {
            let manifest = try read(key).manifest
            for tenant in tenants { active[tenant] = manifest.active(tenant) }
        }
        return active
    }

    /// One manifest as it was read.
    public struct Shard: Sendable {
        public let key: String
        public let tag: VersionTag
        public let active: [Tenant: ActiveModel]
    }

    /// What `load` found.
    public struct Loaded: Sendable {
        /// Manifests whose tag is another now.
        public var changed: [Shard] = []
        /// Of all there are, damaged ones too.
        public var keys: Set<String> = []
        /// Those that cannot be read.
        public var damaged: [CatalogueError] = []
    }

    /// Reads the manifests that have changed.
    ///
    /// - Parameter known: The tags of manifests as they were read before, by key.
    public func load(except known: [String: VersionTag]) throws -> Loaded {
        var loaded = Loaded()
        for summary in try objects.listAll(prefix: Tenant.manifestPrefix) {
            loaded.keys.insert(summary.key)
            guard known[summary.key] != summary.tag else { continue }
            do {
                let found = try read(summary.key)
                let manifest = found.manifest
                guard let tag = found.tag else { continue }
                var active: [Tenant: ActiveModel] = [:]
                active.reserveCapacity(manifest.entries.count)
                for tenant in manifest.entries.keys { active[tenant] = manifest.active(tenant) }
                loaded.changed.append(Shard(key: summary.key, tag: tag, active: active))
            } catch let error as CatalogueError {
                loaded.damaged.append(error)
            }
        }
        // Somebody may have removed one. What was known of it stays.
        for key in known.keys where !loaded.keys.contains(key) {
            do throws(SealError) {
                try sealing.checkAbsence(name: key)
            } catch {
                loaded.keys.insert(key)
                loaded.damaged.append(.untrusted(key: key, reason: error))
            }
        }
        return loaded
    }

    /// A manifest as it was read.
    struct Stored {
        var manifest = Manifest()
        /// nil: there is none.
        var tag: VersionTag?
        var seal: Sealing.Seal?
    }

    func read(_ key: String) throws -> Stored {
        var attempts = 0
        while true {
            do {
                return try readOnce(key)
            } catch CatalogueError.untrusted(_, .older) where attempts < 2 {
                // Another thread may have written and noted a newer one since this one was fetched.
                attempts += 1
            }
        }
    }

    private func readOnce(_ key: String) throws -> Stored {
        guard let object = try bounded(key) else {
            do throws(SealError) {
                try sealing.checkAbsence(name: key)
                return Stored()
            } catch {
                throw CatalogueError.untrusted(key: key, reason: error)
            }
        }
        let seal: Sealing.Seal?
        do throws(SealError) {
            seal = try sealing.check(object.bytes, name: key)
        } catch {
            throw CatalogueError.untrusted(key: key, reason: error)
        }
        do {
            let manifest = try object.bytes.withUnsafeBytes {
                try Manifest(json: $0, isGlobal: key == Tenant.globalManifestKey)
            }
            return Stored(manifest: manifest, tag: object.tag, seal: seal)
        } catch {
            throw CatalogueError.malformed(key: key, reason: "\(error)")
        }
    }

    /// Reads an object of the catalogue; one that is larger than any of ours is damaged.
    func bounded(_ key: String) throws -> StoredObject? {
        do {
            return try objects.get(key, maximumSize: Self.maximumObjectSize)
        } catch {
            guard case .tooLarge = error else { throw error }
            throw CatalogueError.malformed(key: key, reason: "\(error)")
        }
    }

    // MARK: Changing

    /// Makes versions active, one write for each manifest they lie in.
    ///
    /// - Parameter onWritten: Told the changes of each manifest as soon as it is written.
    /// - Returns: What changed; a version that was active already is left out.
    /// - Throws: `CatalogueError`, `ObjectStoreError`. What `onWritten` was told stays changed.
    @discardableResult
    public func activate(
        _ activations: [Activation], by: String, reason: String, timeMilliseconds: Int64,
        onWritten: ([ModelChange]) throws -> Void = { _ in }
    ) throws -> [ModelChange] {
        var changes: [ModelChange] = []
        let shards = Dictionary(grouping: activations) { $0.tenant.manifestKey }
        for (key, activations) in shards.sorted(by: { $0.key < $1.key }) {
            let made = try update(key) { manifest in
                try activations.compactMap { activation in
                    try change(
                        &manifest, activation, by: by, reason: reason, timeMilliseconds: timeMilliseconds)
                }
            }
            if !made.isEmpty { try onWritten(made) }
            changes += made
        }
        return changes
    }

    private func change(
        _ manifest: inout Manifest, _ activation: Activation, by: String, reason: String,
        timeMilliseconds: Int64
    ) throws -> ModelChange? {
        let tenant = activation.tenant
        var entry = manifest.entries[tenant] ?? Manifest.Entry(changes: [], folded: 0)
        let before = manifest.active(tenant)
        // The same number with other bytes is a change: the tenant was erased and began anew elsewhere.
        guard before?.version != activation.version || before?.sha256 != activation.sha256 else { return nil }
        if let meant = activation.before, meant != before.map({ .version($0.version) }) ?? .nothing {
            // What was to be taken out of serving does not serve any more.
            guard activation.version != nil else { return nil }
            throw CatalogueError.overtaken(
                tenant: tenant.description, active: before?.version,
                by: entry.changes.last?.by ?? "somebody")
        }
        if entry.changes.count >= Self.maximumChangesPerEntry { try fold(&entry, of: tenant) }
        let change = ModelChange(
            userID: tenant.userID, sequence: entry.folded + entry.changes.count + 1, from: before?.version,
            to: activation.version, sha256: activation.sha256?.description, place: activation.place, by: by,
            reason: activation.reason ?? reason,
            gate: activation.gate.isEmpty ? nil : activation.gate,
            timeMilliseconds: timeMilliseconds)
        entry.changes.append(change)
        manifest.entries[tenant] = entry
        return change
    }

    /// Removes a tenant and its history.
    ///
    /// - Returns: Whether there was anything, and how many objects of history.
    public func remove(_ tenant: Tenant) throws -> (wasKnown: Bool, history: Int) {
        var wasKnown = false
        try update(tenant.manifestKey) { manifest in
            wasKnown = manifest.entries.removeValue(forKey: tenant) != nil
            return []
        }
        let summaries = try objects.listAll(prefix: tenant.historyPrefix + "/")
        for summary in summaries { try objects.delete(summary.key) }
        return (wasKnown, summaries.count)
    }

    /// Reads, changes and writes a manifest, anew whenever somebody else has written it meanwhile.
    @discardableResult
    private func update(
        _ key: String, _ change: (inout Manifest) throws -> [ModelChange]
    ) throws -> [ModelChange] {
        for attempt in 0..<Self.maximumAttempts {
            let found = try read(key)
            var manifest = found.manifest
            let tag = found.tag
            let before = tag == nil ? 0 : manifest.entries.count
            let changes = try change(&manifest)
            if changes.isEmpty && manifest.entries.count == before { return [] }
            let generation = Sealing.generation(after: found.seal?.generation)
            let bytes = sealing.sealed(manifest.json, name: key, generation: generation)
            if try objects.putIfUnchanged(key, bytes, tag.map { .unchanged($0) } ?? .absent) {
                sealing.note(generation, of: key)
                return changes
            }
            Thread.sleep(forTimeInterval: Double.random(in: 0...0.001) * Double(min(attempt, 32)))
        }
        throw CatalogueError.contended(key: key, attempts: Self.maximumAttempts)
    }

    // MARK: History

    /// Moves an entry's changes into an object of their own.
    ///
    /// They are what the manifest says already, so whoever folds them writes the same bytes, and an object that was
    /// written for a manifest that was not is right all the same.
    private func fold(_ entry: inout Manifest.Entry, of tenant: Tenant) throws {
        var json = JSONWriter()
        json.append(#"{"changes":"#)
        Manifest.write(entry.changes, to: &json)
        json.append("}\n")
        let first = String(entry.folded + 1)
        let number = String(repeating: "0", count: max(0, 10 - first.count)) + first
        let key = "\(tenant.historyPrefix)/\(number).json"
        try objects.put(key, sealing.sealed(json.bytes, name: key, generation: 0), if: .always)
        entry.folded += entry.changes.count
        entry.changes = []
    }

    private func history(of tenant: Tenant, key: String) throws -> [ModelChange] {
        guard let object = try bounded(key) else { return [] }
        do throws(SealError) {
            _ = try sealing.seal(of: object.bytes, name: key)
        } catch {
            throw CatalogueError.untrusted(key: key, reason: error)
        }
        do {
            guard let name = key.split(separator: "/").last, let first = Int(name.prefix { $0 != "." }),
                ModelNumbers.versions.contains(first)
            else { throw JSONReader.Malformed(description: "its name is no number of a change") }
            return try object.bytes.withUnsafeBytes { bytes in
                var changes: [ModelChange] = []
                var reader = JSONReader(bytes)
                try reader.object { reader, name in
                    guard case "changes" = name else { return try reader.skip() }
                    changes = try Manifest.readChanges(of: tenant, from: &reader)
                }
                try reader.end()
                changes.number(after: first - 1)
                return changes
            }
        } catch let error as JSONReader.Malformed {
            throw CatalogueError.malformed(key: key, reason: "\(error)")
        }
    }
}
