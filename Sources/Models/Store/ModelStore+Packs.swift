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

    /// Writes a pack, once: when it is there it was written by an earlier attempt, and what that wrote counts.
    ///
    /// - Parameter name: Its own in the shard.
    /// - Returns: What is in it. Without users of whom somebody else has written the same version meanwhile: that one
    ///   stands.
    public func publish(
        _ writer: consuming PackWriter, shard: String, name: String
    ) throws -> [PackedVersion] {
        let key = Pack.key(shard, name)
        var (bytes, entries) = writer.finish()
        if !(try objects.putIfUnchanged(key, bytes, .absent)) {
            guard let summary = try objects.head(key) else { throw ArtifactError.damaged("\(key) is gone") }
            entries = try index(of: summary).entries
        }
        bytes = []
        var taken: Set<Tenant> = []
        for found in try packs(inShard: shard) where found.summary.key != key {
            for entry in entries where found.index.find(entry.userID)?.version == entry.version {
                taken.insert(.user(entry.userID))
            }
        }
        let packed = Dictionary(entries.map { (Tenant.user($0.userID), $0.version) }) { $1 }
        for (tenant, version) in try singles(inShard: shard) where packed[tenant] == version {
            taken.insert(tenant)
        }
        return entries.compactMap { entry in
            let place = PackPlace(pack: key, offset: entry.offset, sizeBytes: entry.sizeBytes)
            guard let place, !taken.contains(.user(entry.userID)) else { return nil }
            return PackedVersion(userID: entry.userID, version: entry.version, place: place)
        }
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
        guard let userID = tenant.userID else { return 0 }
        var erased = 0
        while let (found, _) = try packed(of: tenant).first {
            guard let object = try objects.get(found.summary.key, maximumSize: Pack.maximumSize) else {
                continue
            }
            // Of another tag is another pack: it is looked at anew.
            guard object.tag == found.summary.tag else { continue }
            let bytes = found.index.erasing(userID, from: object.bytes)
            if try objects.putIfUnchanged(found.summary.key, bytes, .unchanged(object.tag)) { erased += 1 }
        }
        return erased
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
