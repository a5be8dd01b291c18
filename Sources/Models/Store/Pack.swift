import Crypto
import DetectorAPI

/// Where an artifact lies in a pack.
public struct PackPlace: Codable, Sendable, Hashable {
    /// The object's key.
    public var pack: String
    public var offset: Int
    public var sizeBytes: Int

    var range: Range<Int> { offset..<offset + sizeBytes }

    /// - Returns: nil for what no pack of ours could be, or hold.
    init?(pack: String, offset: Int, sizeBytes: Int) {
        guard pack.hasPrefix(Pack.prefix), pack.hasSuffix(Pack.suffix), offset >= Pack.fixedSize,
            offset % Pack.alignment == 0, offset <= Pack.maximumSize, sizeBytes > 0,
            sizeBytes <= Pack.maximumSize
        else { return nil }
        self.pack = pack
        self.offset = offset
        self.sizeBytes = sizeBytes
    }

    private enum CodingKeys: String, CodingKey { case pack, offset, sizeBytes }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let place = PackPlace(
            pack: try container.decode(String.self, forKey: .pack),
            offset: try container.decode(Int.self, forKey: .offset),
            sizeBytes: try container.decode(Int.self, forKey: .sizeBytes))
        guard let place else {
            throw DecodingError.dataCorruptedError(
                forKey: .offset, in: container, debugDescription: "no pack has such a place")
        }
        self = place
    }
}

/// Artifacts of many users as one object, so that a million models are some hundred writes, not a million.
///
///     0   magic "MLMPACK1"
///     8   format version, 1
///     16  when it was begun, milliseconds since 1970
///     24  zeros
///     64  artifacts as they would be objects of their own, each followed by zeros up to a multiple of 64
///     ..  index, by the bytes of the users' ids: size of the id, version (32 bits each), offset, size (64 bits each),
///         SHA-256 of the artifact, id
///     ..  trailer of 64 bytes: offset and size of the index, number of artifacts, SHA-256 of the index, the magic again
///
/// Little-endian. Written once; only erasing a user writes it again, with zeros in place of the user's artifact and
/// without the user in the index: the places of the others stay.
enum Pack {
    static let prefix = "models/packs/"
    static let suffix = ".pack"
    static let magic = Array("MLMPACK1".utf8)
    static let formatVersion: UInt64 = 1
    static let fixedSize = 64
    static let trailerSize = 64
    static let alignment = 64
    /// More than any pack of ours has.
    static let maximumSize = 1 << 31
    static let maximumIndexSize = 256 << 20

    /// Where the packs of a shard lie: `00` to `ff`, as in the catalogue.
    static func folder(_ shard: String) -> String { "\(prefix)\(shard)/" }

    static func key(_ shard: String, _ name: String) -> String { "\(folder(shard))\(name)\(suffix)" }
}

/// Which artifacts are in a pack. Immutable.
struct PackIndex: Sendable {
    struct Entry: Sendable, Hashable {
        let userID: String
        let version: Int
        let offset: Int
        let sizeBytes: Int
        /// Of the whole artifact.
        let sha256: ArtifactHash
    }

    /// By the bytes of the users' ids, each once.
    private(set) var entries: [Entry] = []
    /// Where the index begins: the artifacts end before.
    private(set) var offset = Pack.fixedSize

    init() {}

    func find(_ userID: String) -> Entry? {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].userID.utf8.lexicographicallyPrecedes(userID.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < entries.count, entries[low].userID.utf8.elementsEqual(userID.utf8) else { return nil }
        return entries[low]
    }

    /// - Parameter fileSize: Of the whole pack.
    /// - Returns: Where the index lies, by the last `Pack.trailerSize` bytes.
    /// - Throws: `ArtifactError.damaged`.
    static func range(trailer: UnsafeRawBufferPointer, fileSize: Int) throws -> Range<Int> {
        guard trailer.count == Pack.trailerSize, trailer.suffix(8).elementsEqual(Pack.magic) else {
            throw ArtifactError.damaged("it is no pack of models, or not whole")
        }
        func word(_ at: Int) -> UInt64 {
            UInt64(littleEndian: trailer.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        }
        guard let offset = Int(exactly: word(0)), let size = Int(exactly: word(8)),
            offset >= Pack.fixedSize, size <= Pack.maximumIndexSize, offset <= fileSize,
            fileSize - offset == size + Pack.trailerSize
        else { throw ArtifactError.damaged("its index lies where it has none") }
        return offset..<offset + size
    }

    /// - Parameters:
    ///   - bytes: The index.
    ///   - offset: Where it lies.
    /// - Throws: `ArtifactError.damaged`.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int, trailer: UnsafeRawBufferPointer) throws {
        guard ArtifactHash(of: bytes) == ArtifactHash(stored: .init(rebasing: trailer[24..<56])) else {
            throw ArtifactError.damaged("the checksum of its index differs")
        }
        let count = UInt64(littleEndian: trailer.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        self.offset = offset
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= Self.fixedEntrySize else {
                throw ArtifactError.damaged("its index ends in an entry")
            }
            func load<T: FixedWidthInteger>(_ place: Int, _: T.Type) -> T {
                T(littleEndian: bytes.loadUnaligned(fromByteOffset: at + place, as: T.self))
            }
            let idSize = Int(load(0, UInt32.self))
            let version = Int(load(4, UInt32.self))
            let hash = ArtifactHash(stored: .init(rebasing: bytes[at + 24..<at + Self.fixedEntrySize]))
            let start = at + Self.fixedEntrySize
            guard idSize <= bytes.count - start, ModelNumbers.versions.contains(version),
                let artifact = Int(exactly: load(8, UInt64.self)),
                let size = Int(exactly: load(16, UInt64.self)), artifact >= Pack.fixedSize,
                artifact % Pack.alignment == 0, size > 0, artifact <= offset, size <= offset - artifact,
                let id = String(validating: bytes[start..<start + idSize], as: UTF8.self),
                entries.last.map({ $0.userID.utf8.lexicographicallyPrecedes(id.utf8) }) ?? true
            else { throw ArtifactError.damaged("its index is out of order or range") }
            entries.append(
                Entry(userID: id, version: version, offset: artifact, sizeBytes: size, sha256: hash))
            at = start + idSize
        }
        guard entries.count == count else { throw ArtifactError.damaged("its index is too short") }
    }

    private static let fixedEntrySize = 56

    /// Index and trailer, for artifacts that end at `offset`.
    static func encode(_ entries: [Entry], at offset: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        func append<T: FixedWidthInteger>(_ value: T) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        for entry in entries {
            append(UInt32(clamping: entry.userID.utf8.count))
            append(UInt32(clamping: entry.version))
            append(UInt64(entry.offset))
            append(UInt64(entry.sizeBytes))
            bytes += entry.sha256.bytes
            bytes += entry.userID.utf8
        }
        let hash = bytes.withUnsafeBytes { ArtifactHash(of: $0) }
        let size = bytes.count
        append(UInt64(offset))
        append(UInt64(size))
        append(UInt64(entries.count))
        bytes += hash.bytes
        bytes += Pack.magic
        return bytes
    }

    /// The pack without some users: other places stay.
    func erasing(_ users: Set<Tenant>, from pack: [UInt8]) -> [UInt8] {
        var bytes = Array(pack.prefix(offset))
        let kept = entries.without(users, erasedFrom: &bytes)
        return bytes + Self.encode(kept, at: offset)
    }
}

extension [PackIndex.Entry] {
    /// The entries of all but some users, whose artifacts become zeros.
    fileprivate func without(_ users: Set<Tenant>, erasedFrom bytes: inout [UInt8]) -> Self {
        filter { entry in
            guard users.contains(.user(entry.userID)) else { return true }
            for at in entry.offset..<entry.offset + entry.sizeBytes { bytes[at] = 0 }
            return false
        }
    }
}

/// A pack in the making.
public struct PackWriter {
    private var bytes: [UInt8]
    private var entries: [PackIndex.Entry] = []
    private let key: SymmetricKey?
    private let limits: UserModelLimits

    public var sizeBytes: Int { bytes.count }
    public var count: Int { entries.count }
    public var isEmpty: Bool { entries.isEmpty }

    /// - Parameter createdMilliseconds: Since 1970.
    init(createdMilliseconds: Int64, key: SymmetricKey?, limits: UserModelLimits = UserModelLimits()) {
        self.key = key
        self.limits = limits
        bytes = Pack.magic
        for value in [Pack.formatVersion, UInt64(bitPattern: createdMilliseconds)] {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes += [UInt8](repeating: 0, count: Pack.fixedSize - bytes.count)
    }

    /// Adds a user's model; a user is in a pack once.
    ///
    /// - Parameter header: With the version that it is to have.
    /// - Throws: `ArtifactError.tooLarge`; then it is not in it.
    public mutating func add(_ header: ArtifactHeader, payload: [UInt8]) throws {
        let artifact = try Artifact.encode(header, payload: payload, key: key)
        try limits.check(header.tenant, sizeBytes: artifact.count)
        entries.append(
            PackIndex.Entry(
                userID: header.userID ?? "", version: header.version, offset: bytes.count,
                sizeBytes: artifact.count, sha256: artifact.withUnsafeBytes { ArtifactHash(of: $0) }))
        bytes += artifact
        bytes += [UInt8](repeating: 0, count: -bytes.count & (Pack.alignment - 1))
    }

    /// Leaves users out who are in it.
    public mutating func remove(_ users: Set<Tenant>) {
        entries = entries.without(users, erasedFrom: &bytes)
    }

    /// The pack, whole, and what is in it.
    consuming func finish() -> (bytes: [UInt8], entries: [PackIndex.Entry]) {
        let sorted = entries.sorted { $0.userID.utf8.lexicographicallyPrecedes($1.userID.utf8) }
        bytes += PackIndex.encode(sorted, at: bytes.count)
        return (bytes, sorted)
    }
}
