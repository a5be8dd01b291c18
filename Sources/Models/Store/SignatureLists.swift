import DetectorAPI
import Exact
import Foundation
import ObjectStore
import Signing
import Synchronization

/// What the newest key says of artifacts that an older one has signed: a list a shard, `models/signatures/3f.list`, of the
/// SHA-256 of artifacts, signed itself. Thread-safe; calls block.
///
/// An artifact's own signature is part of the bytes whose SHA-256 verdicts and the catalogue name. Writing it anew would
/// give every model another name, so the new signature lies beside.
final class SignatureLists: Sendable {
    /// A million users' models in a shard.
    private static let maximumSize = 80 << 20
    private static let maximumListsInMemory = 32
    private static let format = "ml-signatures-1"

    private let objects: any ObjectStore
    private let keys: SigningKeys
    private let lists = Mutex<[String: List]>([:])

    struct List: Sendable {
        var hashes: Set<ArtifactHash> = []
        /// Of the key that has signed it.
        var signer = Data()
        var tag: VersionTag?
    }

    init(objects: any ObjectStore, keys: SigningKeys) {
        self.objects = objects
        self.keys = keys
    }

    /// `global`, or `00` to `ff`.
    static func shard(of tenant: Tenant) -> String { tenant.userID.map(Tenant.shard) ?? "global" }

    static func key(_ shard: String) -> String { "models/signatures/\(shard).list" }

    /// The name of the key that has listed an artifact; nil: none has.
    func signer(of hash: ArtifactHash, tenant: Tenant) throws -> Data? {
        let shard = Self.shard(of: tenant)
        if let list = lists.withLock({ $0[shard] }), list.hashes.contains(hash) { return list.signer }
        // It may have been listed since.
        let list = try read(shard)
        lists.withLock { lists in
            if lists.count >= Self.maximumListsInMemory { _ = lists.popFirst() }
            lists[shard] = list
        }
        return list.hashes.contains(hash) ? list.signer : nil
    }

    /// The list as it lies in the store; an empty one when there is none, or no key of ours has signed it.
    func read(_ shard: String) throws -> List {
        guard let object = try objects.get(Self.key(shard), maximumSize: Self.maximumSize) else {
            return List()
        }
        var list = List(tag: object.tag)
        let lines = object.bytes.split(separator: UInt8(ascii: "\n"))
        guard let last = lines.last, let tag = Hex.bytes(String(decoding: last, as: UTF8.self)),
            lines.first?.elementsEqual("\(Self.format) \(shard)".utf8) == true,
            let signer = keys.signer(of: tag, authenticating: object.bytes[..<last.startIndex])
        else { return list }
        list.signer = signer
        for line in lines.dropFirst().dropLast() {
            if let hash = ArtifactHash(hexadecimal: String(decoding: line, as: UTF8.self)) {
                list.hashes.insert(hash)
            }
        }
        return list
    }

    /// - Returns: false: somebody else has written it since it was read.
    func write(_ list: List, shard: String) throws -> Bool {
        let lines = ["\(Self.format) \(shard)"] + list.hashes.map(\.description).sorted()
        let body = Array((lines.joined(separator: "\n") + "\n").utf8)
        guard let tag = keys.sign(body) else { return true }
        let bytes = body + Array((Hex.text(tag) + "\n").utf8)
        return try objects.putIfUnchanged(
            Self.key(shard), bytes, list.tag.map { .unchanged($0) } ?? .absent)
    }
}

extension ModelStore {
    /// Opens an artifact if one of the keys has signed it, in the artifact itself or in a list.
    ///
    /// - Parameter isPromoted: The catalogue names the hash of these bytes, see `Artifact.init(decoding:isPromoted:_:)`.
    /// - Returns: The name of that key, empty where there are none.
    /// - Throws: `ArtifactError`; `ObjectStoreError` when a list cannot be read.
    func open(_ file: ArtifactBytes, isPromoted: Bool = false) throws -> (artifact: Artifact, signer: Data) {
        var signer: Data?
        let artifact = try Artifact(decoding: file, isPromoted: isPromoted) { [keys] signature, signed in
            signer = keys.isEmpty ? Data() : keys.signer(of: signature, authenticating: signed)
        }
        let found =
            try signer
            ?? signatures.signer(of: ArtifactHash(of: file.bytes), tenant: artifact.header.tenant)
        guard let found else { throw ArtifactError.wrongSignature }
        return (artifact, found)
    }
}

/// Has the newest key sign what older ones have signed. Calls block.
public struct ModelResigning: Sendable {
    public struct Report: Sendable, Hashable {
        /// Signed by the newest key already, or listed by it.
        public var current = 0
        /// Listed now.
        public var signed = 0
        /// Of no key, or damaged: where, and why. They stay as they are, and do not serve.
        public var refused: [String] = []
    }

    private let store: ModelStore

    public init(store: ModelStore) { self.store = store }

    /// Reads every artifact. Stopped and started again it goes on where it was; what is published meanwhile the newest key
    /// signs anyway.
    ///
    /// - Parameter progress: Told how many of the 257 shards are done.
    public func run(progress: (Int) -> Void = { _ in }) throws -> Report {
        var report = Report()
        for (number, shard) in (["global"] + Tenant.shards).enumerated() {
            while try !sign(shard, &report) {}
            progress(number + 1)
        }
        return report
    }

    /// - Returns: false: the list was written by somebody else meanwhile.
    private func sign(_ shard: String, _ report: inout Report) throws -> Bool {
        var part = Report()
        let before = try store.signatures.read(shard)
        var after = before
        after.hashes = []
        try artifacts(of: shard) { name, bytes in
            do {
                _ = try store.open(bytes)
                let hash = ArtifactHash(of: bytes.bytes)
                let isSigned = (try? Artifact(decoding: bytes, key: store.key)) != nil
                if !isSigned { after.hashes.insert(hash) }
                let isListed = before.signer == store.keys.newestSigner && before.hashes.contains(hash)
                if isSigned || isListed { part.current += 1 } else { part.signed += 1 }
            } catch let error as ArtifactError {
                part.refused.append("\(name): \(error)")
            }
        }
        if after.hashes != before.hashes || before.signer != store.keys.newestSigner, !after.hashes.isEmpty {
            guard try store.signatures.write(after, shard: shard) else { return false }
        }
        report.current += part.current
        report.signed += part.signed
        report.refused += part.refused
        return true
    }

    private func artifacts(
        of shard: String, _ body: (_ name: String, _ bytes: ArtifactBytes) throws -> Void
    ) throws {
        let prefix =
            shard == "global" ? Tenant.global.objectPrefix + "/" : Tenant.objectPrefix(ofShard: shard)
        for summary in try store.objects.listAll(prefix: prefix) where summary.key.hasSuffix(".model") {
            guard let object = try store.objects.get(summary.key, maximumSize: Artifact.maximumSize) else {
                continue
            }
            try body(summary.key, ArtifactBytes(copying: object.bytes))
        }
        guard shard != "global" else { return }
        for found in try store.packs(inShard: shard) {
            guard let pack = try store.pack(found.summary.key) else { continue }
            for entry in found.index.entries where entry.offset + entry.sizeBytes <= pack.bytes.count {
                let name = "\(found.summary.key), \(entry.userID) v\(entry.version)"
                try body(name, pack.slice(entry.offset..<entry.offset + entry.sizeBytes))
            }
        }
    }
}
