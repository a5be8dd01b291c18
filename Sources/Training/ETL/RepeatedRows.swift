import Crypto

/// Half of the SHA-256 of a transaction's id: two different ids among a billion have the same with a chance of 10^-21.
struct IDDigest: Hashable, BitwiseCopyable {
    let high: UInt64
    let low: UInt64

    init(_ id: UnsafeBufferPointer<UInt8>) {
        let bytes = SHA256.hash(data: UnsafeRawBufferPointer(id))
        (high, low) = bytes.withUnsafeBytes {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }
}

/// What tells a transaction from another one that has its id: user, amount and time.
struct ContentDigest: Equatable, BitwiseCopyable {
    private let value: UInt64

    /// Of a row that does not say all of it: it may be any transaction of its id.
    static let unknown = ContentDigest(value: 0)

    private init(value: UInt64) { self.value = value }

    init(user: UnsafeBufferPointer<UInt8>, amount: Double, timestampMilliseconds: Int64) {
        var hash = SHA256()
        hash.update(bufferPointer: UnsafeRawBufferPointer(user))
        // -0 is 0.
        withUnsafeBytes(of: amount == 0 ? 0 : amount) { hash.update(bufferPointer: $0) }
        withUnsafeBytes(of: timestampMilliseconds) { hash.update(bufferPointer: $0) }
        value = max(1, hash.finalize().withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    }

    func mayBe(_ other: ContentDigest) -> Bool {
        self == other || self == .unknown || other == .unknown
    }
}

/// What a row is among those of its day that have its id.
enum Occurrence {
    case first
    /// The transaction that has the id already, once more.
    case repeated
    /// Another transaction than the one that has the id.
    case conflicting
}

/// The ids of a day, each with the transaction that had it first.
struct KnownIDs {
    private var contents: [IDDigest: ContentDigest]

    init(minimumCapacity: Int = 0) { contents = Dictionary(minimumCapacity: minimumCapacity) }

    mutating func add(_ id: IDDigest, _ content: ContentDigest) -> Occurrence {
        guard let first = contents[id] else {
            contents[id] = content
            return .first
        }
        return first.mayBe(content) ? .repeated : .conflicting
    }
}

/// Which rows of a day have an id that an earlier one has: of a day with more rows than a table of their ids should take.
///
/// The digests go to temporary files, part by part of all there may be, and are compared one part at a time. What stays in
/// memory is two bits a row.
struct RepeatedRows {
    private struct Entry: BitwiseCopyable {
        let digest: IDDigest
        let content: ContentDigest
        /// `foreign`, or the row's number in the day.
        let row: UInt64
    }

    /// In place of a row's number: what the lake has from elsewhere, which goes first.
    private static let foreign = UInt64.max

    private let spill: SpillFiles
    private let parts: Int
    private var rows: UInt64 = 0

    /// - Parameters:
    ///   - idsAtATime: Digests that are compared at a time.
    ///   - rows: About how many there will be.
    init(rows: Int, idsAtATime: Int, scratch: String, memoryBytes: Int) {
        parts = rows / max(1, idsAtATime) + 1
        spill = SpillFiles(keys: parts, scratch: scratch, budgetBytes: memoryBytes)
    }

    mutating func addForeign(_ digest: IDDigest, _ content: ContentDigest) throws {
        try add(Entry(digest: digest, content: content, row: Self.foreign))
    }

    /// The day's next row.
    mutating func add(_ digest: IDDigest, _ content: ContentDigest) throws {
        try add(Entry(digest: digest, content: content, row: rows))
        rows += 1
    }

    private func add(_ entry: Entry) throws {
        let part = entry.digest.high.multipliedFullWidth(by: UInt64(parts)).high
        try withUnsafeBytes(of: entry) { try spill.append($0, to: Int(part)) }
    }

    struct Found {
        fileprivate var repeated: RowBits
        fileprivate var conflicting: RowBits
        /// Digests that were in memory at a time.
        fileprivate(set) var mostAtATime = 0

        subscript(_ row: Int) -> Occurrence {
            conflicting[row] ? .conflicting : repeated[row] ? .repeated : .first
        }
    }

    /// What each row is among those before it and those of the lake.
    func found() throws -> Found {
        try spill.finish()
        let none = RowBits(count: Int(rows))
        var found = Found(repeated: none, conflicting: none)
        for part in 0..<parts {
            let entries = try spill.takeWhole(part) { bytes, fill in
                let count = bytes / MemoryLayout<Entry>.stride
                return try [Entry](unsafeUninitializedCapacity: count) { entries, initialized in
                    try fill(
                        UnsafeMutableRawBufferPointer(
                            rebasing: UnsafeMutableRawBufferPointer(entries)[..<bytes]))
                    initialized = count
                }
            }
            found.mostAtATime = max(found.mostAtATime, entries.count)
            var known = KnownIDs(minimumCapacity: entries.count)
            for entry in entries {
                let occurrence = known.add(entry.digest, entry.content)
                guard entry.row != Self.foreign else { continue }
                switch occurrence {
                case .first: break
                case .repeated: found.repeated.set(Int(entry.row))
                case .conflicting: found.conflicting.set(Int(entry.row))
                }
            }
        }
        return found
    }
}

/// A bit a row.
struct RowBits {
    private var words: [UInt64]

    init(count: Int) { words = Array(repeating: 0, count: count / 64 + 1) }

    subscript(_ row: Int) -> Bool { words[row / 64] >> UInt64(row % 64) & 1 == 1 }

    mutating func set(_ row: Int) { words[row / 64] |= 1 << UInt64(row % 64) }
}
