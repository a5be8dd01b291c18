import Crypto
import Exact
import Features
import Foundation
import ObjectStore
import Signing

/// A table that is ready to be looked up in, and its name. Immutable.
public struct ReadyReferences: Sendable {
    public let version: Int
    /// Of the table's bytes before the checksum, hexadecimal.
    public let sha256: String
    public let table: ReferenceTable

    public init(version: Int, sha256: String, table: ReferenceTable) {
        self.version = version
        self.sha256 = sha256
        self.table = table
    }
}

/// The tables in an object store, `references/v17.table`, each written once, and which of them serves,
/// `references/latest`. With keys a seal beside each table says its SHA-256, `references/v17.seal`, and which one serves is
/// sealed too. Thread-safe; calls block.
public struct ReferenceStore: Sendable {
    let objects: any ObjectStore
    let sealing: Sealing
    /// Tables are mapped from files in this folder; nil: they are kept in memory.
    private let cacheFolder: String?

    static let latestKey = "references/latest"
    /// A number beyond these is no version of ours.
    static let possibleVersions = 1...1_000_000_000

    /// - Parameter sealing: Of tables, and of which one serves.
    public init(objects: any ObjectStore, cacheFolder: String? = nil, sealing: Sealing = .none) {
        self.objects = objects
        self.cacheFolder = cacheFolder
        self.sealing = sealing
    }

    func key(_ version: Int) -> String { "references/v\(version).table" }

    // MARK: Which there are

    /// Ascending.
    public func versions() throws -> [Int] {
        try objects.listAll(prefix: "references/v").compactMap { object in
            let name = object.key.dropFirst("references/v".count)
            guard name.hasSuffix(".table"), let version = Int(name.dropLast(6)),
                Self.possibleVersions.contains(version)
            else { return nil }
            return version
        }.sorted()
    }

    /// The version that serves; nil: none does.
    public func latest() throws -> Int? {
        try readLatest()?.version
    }

    /// Makes a version serve, a later one or an earlier.
    ///
    /// - Throws: What `load` throws of a table that cannot serve; the present one goes on then.
    public func use(_ version: Int) throws {
        guard Self.possibleVersions.contains(version) else {
            throw ReferenceError.notFound(version: version)
        }
        // From the store: what this machine has in its cache is not what others will fetch.
        try check(version, sha256: try ready(version, try fetch(version)).sha256)
        try makeLatest(version)
    }

    private func makeLatest(_ version: Int) throws {
        // What is there may be of somebody else: then the new one is newer than it says all the same.
        let before = try? readLatest()?.seal?.generation
        try writeLatest(version, after: before)
    }

    // MARK: Writing

    /// Writes a table under the next version and makes it serve. One that is the serving one already is not written
    /// again.
    ///
    /// - Parameter body: A table without its checksum.
    public func publish(_ body: [UInt8]) throws -> ReadyReferences {
        let digest = Array(SHA256.hash(data: body))
        let bytes = body + digest
        let serving = try latest()
        if let serving, let summary = try objects.head(key(serving)), summary.sizeBytes == bytes.count,
            try objects.get(key(serving))?.bytes == bytes,
            (try? check(serving, sha256: Hex.text(digest))) != nil
        {
            return try ready(serving, Array(bytes))
        }
        var version = (serving ?? 0) + 1
        // Each failure is a version that somebody else has written, so somebody always gets on.
        while true {
            guard Self.possibleVersions.contains(version) else {
                throw ReferenceError.invalid(
                    field: Self.latestKey,
                    reason:
                        "v\(version - 1) is the last possible version; references use chooses an earlier one")
            }
            if try objects.putIfUnchanged(key(version), bytes, .absent) { break }
            version += 1
        }
        try seal(version, sha256: Hex.text(digest))
        try makeLatest(version)
        return try ready(version, bytes)
    }

    // MARK: Reading

    /// Fetches a table, from this machine's cache if it is there, and checks it.
    ///
    /// - Throws: `ReferenceError.damaged` when its checksum is wrong, `ReferenceTableError`, the store's own errors.
    public func load(_ version: Int) throws -> ReadyReferences {
        guard let cacheFolder else {
            let found = try ready(version, try fetch(version))
            try check(version, sha256: found.sha256)
            return found
        }
        let path = cacheFolder + "/v\(version).table"
        if let cached = MappedFile(path) {
            // What the disk has done to it is mended from the store.
            if let found = try? ready(version, cached.bytes, owner: cached) {
                try check(version, sha256: found.sha256)
                return found
            }
            try? FileManager.default.removeItem(atPath: path)
        }
        let bytes = try fetch(version)
        let found = try ready(version, bytes)
        try check(version, sha256: found.sha256)
        do {
            try FileManager.default.createDirectory(atPath: cacheFolder, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(filePath: path), options: .atomic)
            removeOthers(than: version, in: cacheFolder)
        } catch {
            return found  // A full disk stops no scoring; the bytes are in memory.
        }
        guard let mapped = MappedFile(path) else { return found }
        return try ready(version, mapped.bytes, owner: mapped)
    }

    private func fetch(_ version: Int) throws -> [UInt8] {
        guard let bytes = try objects.get(key(version))?.bytes else {
            throw ReferenceError.notFound(version: version)
        }
        return bytes
    }

    /// A mapped file lives on until it is let go, also when its name is gone.
    private func removeOthers(than version: Int, in folder: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where name.hasSuffix(".table") && name != "v\(version).table" {
            try? FileManager.default.removeItem(atPath: folder + "/" + name)
        }
    }

    private func ready(_ version: Int, _ bytes: [UInt8]) throws -> ReadyReferences {
        let copy = OwnedBytes(bytes)
        return try ready(version, copy.bytes, owner: copy)
    }

    private func ready(
        _ version: Int, _ bytes: UnsafeRawBufferPointer, owner: AnyObject
    ) throws -> ReadyReferences {
        let end = bytes.count - ReferenceTable.checksumSize
        guard end > 0 else { throw ReferenceError.damaged(file: key(version), reason: "it is cut off") }
        let digest = SHA256.hash(data: UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        guard digest.elementsEqual(bytes[end...]) else {
            throw ReferenceError.damaged(file: key(version), reason: "its checksum is wrong")
        }
        return ReadyReferences(
            version: version, sha256: Hex.text(digest), table: try ReferenceTable(bytes, owner: owner))
    }
}

/// Bytes that stay where they are.
private final class OwnedBytes: @unchecked Sendable {  // nothing is written after init
    let bytes: UnsafeRawBufferPointer

    init(_ bytes: [UInt8]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        memory.copyBytes(from: bytes)
        self.bytes = UnsafeRawBufferPointer(rebasing: memory[..<bytes.count])
    }

    deinit { bytes.deallocate() }
}
