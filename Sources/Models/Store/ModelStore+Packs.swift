import DetectorAPI
import Foundation
import ObjectStore
import Synchronization

/// Packs: what is written by jobs for all users.
extension ModelStore {
    /// A pack as it was listed, and what is in it.
    struct FoundPack: Sendable {
        let summary: ObjectSummary
        let index: PackIndex
    }

    /// What a shard has of its users' versions.
    public struct ShardVersions: Sendable {
        fileprivate var last: [Tenant: Int] = [:]

        /// The number of a user's next version.
        public func next(of userID: String) -> Int { (last[.user(userID)] ?? 0) + 1 }
    }

    /// What was written.
    public struct PackedVersion: Sendable, Hashable {
        public let userID: String
        public let version: Int
        public let place: PackPlace
    }

    public func packWriter(createdMilliseconds: Int64) -> PackWriter {
        PackWriter(createdMilliseconds: createdMilliseconds, key: key, limits: limits)
    }

    /// The last versions of all users of a shard, `00` to `ff`.
    public func versions(inShard shard: String) throws -> ShardVersions {
        var versions = ShardVersions()
        for found in try packs(inShard: shard) {
            for entry in found.index.entries {
                versions.last[.user(entry.userID), default: 0].raise(to: entry.version)
            }
        }
        for (tenant, version) in try singles(inShard: shard) {
            versions.last[tenant, default: 0].raise(to: version)
        }
        // As of one tenant, though by the newest changes alone: the older ones are objects of each user.
        for (tenant, version) in try Catalogue(objects: objects).highestVersions(inShard: shard) {
            versions.last[tenant, default: 0].raise(to: version)
        }
        return versions
    }

    /// The versions of a shard's users that are objects of their own.
    private func singles(inShard shard: String) throws -> [(tenant: Tenant, version: Int)] {
        let prefix = Tenant.objectPrefix(ofShard: shard)
        return try objects.listAll(prefix: prefix).compactMap { summary in
            let parts = summary.key.dropFirst(prefix.count).split(separator: "/")
            guard parts.count == 2, let id = percentDecoded(String(parts[0])),
                let version = Self.version(ofName: parts[1])
            else { return nil }
            return (.user(id), version)
        }
    }

    /// Writes a pack, once: when it is there it was written by an earlier attempt, and what that wrote counts. Users of
    /// whom somebody else has written the same version meanwhile get another number, in a pack beside it.
    ///
    /// - Parameter name: Its own in the shard.
    /// - Returns: What was written.
    public func publish(
        _ writer: consuming PackWriter, shard: String, name: String
    ) throws -> [PackedVersion] {
        let key = Pack.key(shard, name)
        var (bytes, entries) = writer.finish()
        let isNew = try objects.putIfUnchanged(key, bytes, .absent)
        if !isNew {
            guard let summary = try objects.head(key) else { throw ArtifactError.damaged("\(key) is gone") }
            entries = try index(of: summary).entries
        }
        bytes = []
        let taken = try numbersTaken(entries, key, shard)
        let published: [PackedVersion] = entries.compactMap { entry in
            let place = PackPlace(pack: key, offset: entry.offset, sizeBytes: entry.sizeBytes)
            guard let place, taken[.user(entry.userID)] == nil else { return nil }
            return PackedVersion(userID: entry.userID, version: entry.version, place: place)
        }
        let other = "\(name)-again"
        // An earlier attempt may have given them their numbers already.
        let hasOther = try !isNew && objects.head(Pack.key(shard, other)) != nil
        guard !taken.isEmpty || hasOther else { return published }
        let moved = try publish(try renumbered(entries, key, taken), shard: shard, name: other)
        // In this order, so that whoever is ended in between leaves them in one of the two.
        try erase(Set(taken.keys), fromPack: key)
        return published + moved
    }

    /// The users of a pack of whom somebody else has written the same version, each with a number that is free.
    ///
    /// Whoever sees the other gives way, as the other may not have seen it. When both see each other, those whose names
    /// come later pass over a number for each before them, so that they do not meet again.
    private func numbersTaken(
        _ entries: [PackIndex.Entry], _ key: String, _ shard: String
    ) throws -> [Tenant: Int] {
        var before: [Tenant: Int] = [:]
        for found in try packs(inShard: shard) where found.summary.key != key {
            for entry in entries where found.index.find(entry.userID)?.version == entry.version {
                before[.user(entry.userID), default: 0] += found.summary.key < key ? 1 : 0
            }
        }
        let packed = Dictionary(entries.map { (Tenant.user($0.userID), $0.version) }) { $1 }
        for (tenant, version) in try singles(inShard: shard) where packed[tenant] == version {
            before[tenant, default: 0] += 1
        }
        guard !before.isEmpty else { return [:] }
        let versions = try versions(inShard: shard)
        return Dictionary(
            before.map { tenant, count in (tenant, versions.next(of: tenant.userID ?? "") + count) }
        ) { $1 }
    }

    /// A pack's models of some users with other numbers, signed anew.
    private func renumbered(
        _ entries: [PackIndex.Entry], _ key: String, _ numbers: [Tenant: Int]
    ) throws -> PackWriter {
        var models: [Artifact] = []
        for entry in entries where numbers[.user(entry.userID)] != nil {
            let place = PackPlace(pack: key, offset: entry.offset, sizeBytes: entry.sizeBytes)
            guard let place, let bytes = try bytes(at: place) else { continue }
            models.append(try open(bytes).artifact)
        }
        var writer = packWriter(createdMilliseconds: models.map(\.header.createdMilliseconds).max() ?? 0)
        for model in models {
            var header = model.header
            header.version = numbers[header.tenant] ?? header.version
            try writer.add(header, payload: Array(model.payload.bytes))
        }
        return writer
    }

    // MARK: Reading

    /// The packs that hold something of a user.
    func packed(of tenant: Tenant) throws -> [(pack: FoundPack, entry: PackIndex.Entry)] {
        guard let userID = tenant.userID else { return [] }
        return try packs(inShard: Tenant.shard(userID)).compactMap { found in
            found.index.find(userID).map { (found, $0) }
        }
    }

    func packs(inShard shard: String) throws -> [FoundPack] {
        try objects.listAll(prefix: Pack.folder(shard)).filter { $0.key.hasSuffix(Pack.suffix) }.map {
            FoundPack(summary: $0, index: try index(of: $0))
        }
    }

    /// A pack's index, from memory where it is known: a pack does not change under its tag.
    private func index(of summary: ObjectSummary) throws -> PackIndex {
        if let known = indexes.find(summary) { return known }
        let size = summary.sizeBytes
        do {
            guard size >= Pack.fixedSize + Pack.trailerSize else {
                throw ArtifactError.damaged("it has \(size) bytes, fewer than every pack")
            }
            let end = try objects.get(summary.key, range: max(0, size - Self.packRead)..<size)
            let trailer = Array(end.suffix(Pack.trailerSize))
            let range = try trailer.withUnsafeBytes { try PackIndex.range(trailer: $0, fileSize: size) }
            let bytes =
                range.count + Pack.trailerSize <= end.count
                ? Array(end.suffix(range.count + Pack.trailerSize).dropLast(Pack.trailerSize))
                : try objects.get(summary.key, range: range)
            let index = try bytes.withUnsafeBytes { bytes in
                try trailer.withUnsafeBytes { try PackIndex(bytes, at: range.lowerBound, trailer: $0) }
            }
            indexes.keep(index, summary)
            return index
        } catch let error as ArtifactError {
            throw CatalogueError.malformed(key: summary.key, reason: "\(error)")
        }
    }

    /// Most indexes fit into this many bytes.
    private static let packRead = 65_536

    /// An artifact of a pack, unchecked; nil when there is no such pack any more, or it ends before.
    func bytes(at place: PackPlace) throws -> ArtifactBytes? {
        do {
            return ArtifactBytes(copying: try objects.get(place.pack, range: place.range))
        } catch ObjectStoreError.notFound {
            return nil
        } catch {
            // A range that passes the end is an error like others.
            guard let size = try objects.head(place.pack)?.sizeBytes, place.range.upperBound <= size else {
                return nil
            }
            throw error
        }
    }

    /// The same of many, in their order: neighbours in a pack by one read.
    ///
    /// When the store does not answer it is not asked for the rest: each question would take as long as the first.
    ///
    /// - Parameter places: nil gives nil.
    func bytes(at places: [PackPlace?]) -> [Result<ArtifactBytes?, any Error>?] {
        var found = [Result<ArtifactBytes?, any Error>?](repeating: nil, count: places.count)
        var away: (any Error)?
        let packed = places.enumerated().compactMap { index, place in place.map { (index: index, place: $0) }
        }
        for (pack, wanted) in Dictionary(grouping: packed, by: \.place.pack) {
            let sorted = wanted.sorted { $0.place.offset < $1.place.offset }
            var first = 0
            while first < sorted.count {
                var (next, end) = (first + 1, sorted[first].place.range.upperBound)
                let start = sorted[first].place.offset
                while next < sorted.count, sorted[next].place.offset <= end + Self.neighbourGap,
                    sorted[next].place.range.upperBound - start <= Self.neighbourRead
                {
                    end = max(end, sorted[next].place.range.upperBound)
                    next += 1
                }
                let run = sorted[first..<next]
                // Whatever is wrong with a read of several, each for itself may be right, or says what is wrong.
                let isOne = run.count == 1 || away != nil
                let bytes = isOne ? nil : try? objects.get(pack, range: start..<end)
                for (index, place) in run {
                    let result = Result<ArtifactBytes?, any Error> {
                        if let away { throw away }
                        guard let bytes else { return try self.bytes(at: place) }
                        return ArtifactBytes(
                            copying: bytes[place.offset - start..<place.range.upperBound - start])
                    }
                    if case .failure(let error as ObjectStoreError) = result, error.isRetryable {
                        away = error
                    }
                    found[index] = result
                }
                first = next
            }
        }
        return found
    }

    /// Artifacts with at most so many bytes between them are read together: less than a request costs.
    private static let neighbourGap = 64 << 10
    /// Of one read of several.
    private static let neighbourRead = 8 << 20

    /// A whole pack; nil when there is none.
    func pack(_ key: String) throws -> ArtifactBytes? {
        try objects.get(key, maximumSize: Pack.maximumSize).map { ArtifactBytes(copying: $0.bytes) }
    }

    // MARK: Erasing

    /// Overwrites what packs hold of a user.
    ///
    /// - Returns: How many versions.
    func erasePacked(of tenant: Tenant) throws -> Int {
        var erased = 0
        while let (found, _) = try packed(of: tenant).first {
            if try erase([tenant], from: found) { erased += 1 }
        }
        return erased
    }

    /// Overwrites what one pack holds of some users.
    private func erase(_ users: Set<Tenant>, fromPack key: String) throws {
        while let summary = try objects.head(key) {
            let found = FoundPack(summary: summary, index: try index(of: summary))
            let isThere = found.index.entries.contains { users.contains(.user($0.userID)) }
            if try !isThere || erase(users, from: found) { return }
        }
    }

    /// - Returns: false: it is another pack by now, and is to be looked at anew.
    private func erase(_ users: Set<Tenant>, from found: FoundPack) throws -> Bool {
        let key = found.summary.key
        guard let object = try objects.get(key, maximumSize: Pack.maximumSize),
            object.tag == found.summary.tag
        else { return false }
        return try objects.putIfUnchanged(
            key, found.index.erasing(users, from: object.bytes), .unchanged(object.tag))
    }
}

/// Indexes of packs that were read lately. Bounded; thread-safe.
final class PackIndexes: Sendable {
    private struct State {
        var indexes: [String: (tag: VersionTag, index: PackIndex)] = [:]
        var entryCount = 0
    }

    /// Entries of all together: a few dozen megabytes.
    private static let maximumEntries = 200_000

    private let state = Mutex(State())

    func find(_ summary: ObjectSummary) -> PackIndex? {
        state.withLock { state in
            guard let known = state.indexes[summary.key], known.tag == summary.tag else { return nil }
            return known.index
        }
    }

    func keep(_ index: PackIndex, _ summary: ObjectSummary) {
        state.withLock { state in
            state.entryCount -= state.indexes.removeValue(forKey: summary.key)?.index.entries.count ?? 0
            // Any may go: whoever works through all shards comes back to none for long.
            while state.entryCount + index.entries.count > Self.maximumEntries,
                let gone = state.indexes.popFirst()
            {
                state.entryCount -= gone.value.index.entries.count
            }
            state.indexes[summary.key] = (summary.tag, index)
            state.entryCount += index.entries.count
        }
    }
}

extension Int {
    fileprivate mutating func raise(to other: Int) { self = Swift.max(self, other) }
}
