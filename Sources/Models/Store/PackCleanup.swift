import ObjectStore

/// Finds the packs that nobody needs any more, and removes them. Calls block.
///
/// A pack is needed while one of its artifacts is active, is what a roll-back would go to, or was active within the time
/// that verdicts are kept for; and while it is young: a job promotes long after it has written.
public struct PackCleanup: Sendable {
    public struct Unneeded: Sendable, Hashable {
        public let key: String
        public let sizeBytes: Int
        /// Milliseconds since 1970.
        public let createdMilliseconds: Int64
    }

    private let store: ModelStore
    private let catalogue: Catalogue

    public init(store: ModelStore, catalogue: Catalogue) {
        self.store = store
        self.catalogue = catalogue
    }

    /// - Parameter moment: Milliseconds since 1970: what was written or active since stays.
    /// - Throws: `CatalogueError` where a manifest or a pack cannot be read: then nobody knows what it names.
    public func unneeded(since moment: Int64) throws -> [Unneeded] {
        var unneeded: [Unneeded] = []
        // Before the manifests are read: what is promoted meanwhile is named in them.
        let packs = try store.objects.listAll(prefix: Pack.prefix)
        let named = try catalogue.packsNamed(since: moment)
        for summary in packs where summary.key.hasSuffix(Pack.suffix) && !named.contains(summary.key) {
            let created = try store.created(summary)
            guard created < moment else { continue }
            unneeded.append(
                Unneeded(key: summary.key, sizeBytes: summary.sizeBytes, createdMilliseconds: created))
        }
        return unneeded
    }

    public func remove(_ unneeded: [Unneeded]) throws {
        for pack in unneeded { try store.objects.delete(pack.key) }
    }
}

extension ModelStore {
    /// When a pack was begun.
    fileprivate func created(_ summary: ObjectSummary) throws -> Int64 {
        guard summary.sizeBytes >= Pack.fixedSize else {
            throw CatalogueError.malformed(key: summary.key, reason: "it is no pack")
        }
        let beginning = try objects.get(summary.key, range: 0..<Pack.fixedSize)
        guard beginning.starts(with: Pack.magic) else {
            throw CatalogueError.malformed(key: summary.key, reason: "it is no pack")
        }
        return beginning.withUnsafeBytes {
            Int64(bitPattern: UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
        }
    }
}

extension Catalogue {
    /// Packs of artifacts that are active, were active since a moment, or were before the active one.
    func packsNamed(since moment: Int64) throws -> Set<String> {
        var named: Set<String> = []
        for summary in try objects.listAll(prefix: Tenant.manifestPrefix) {
            for (tenant, entry) in try read(summary.key).manifest.entries {
                var changes = entry.changes
                // The older ones only where they may say something.
                if entry.folded > 0,
                    changes.first.map({ $0.timeMilliseconds >= moment }) ?? true || changes.count < 2
                {
                    changes = try self.changes(of: tenant)
                }
                for (place, change) in changes.enumerated() {
                    guard let pack = change.place?.pack else { continue }
                    let isLate =
                        changes.dropFirst(place + 1).first.map { $0.timeMilliseconds >= moment } ?? true
                    if isLate || place >= changes.count - 2 { named.insert(pack) }
                }
            }
        }
        return named
    }
}
