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

/// Which rows of a day have an id that an earlier one has: of a day with more rows than a table of their ids should take.
///
/// The digests go to temporary files, part by part of all there may be, and are compared one part at a time. What stays in
/// memory is a bit a row.
struct RepeatedRows {
    private struct Entry: BitwiseCopyable {
        let digest: IDDigest
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

    mutating func addForeign(_ digest: IDDigest) throws { try add(Entry(digest: digest, row: Self.foreign)) }

    /// The day's next row.
    mutating func add(_ digest: IDDigest) throws {
        try add(Entry(digest: digest, row: rows))
        rows += 1
    }

    private func add(_ entry: Entry) throws {
        let part = entry.digest.high.multipliedFullWidth(by: UInt64(parts)).high
        try withUnsafeBytes(of: entry) { try spill.append($0, to: Int(part)) }
    }

    /// - Returns: The rows' bits, set where an earlier row, or the lake, has the same id; and how many digests were in memory
    ///   at a time.
    func repeated() throws -> (bits: RowBits, mostAtATime: Int) {
        try spill.finish()
        var bits = RowBits(count: Int(rows))
        var mostAtATime = 0
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
            mostAtATime = max(mostAtATime, entries.count)
            var known = Set<IDDigest>(minimumCapacity: entries.count)
            for entry in entries where !known.insert(entry.digest).inserted && entry.row != Self.foreign {
                bits.set(Int(entry.row))
            }
        }
        return (bits, mostAtATime)
    }
}

/// A bit a row.
struct RowBits {
    private var words: [UInt64]

    init(count: Int) { words = Array(repeating: 0, count: count / 64 + 1) }

    subscript(_ row: Int) -> Bool { words[row / 64] >> UInt64(row % 64) & 1 == 1 }

    mutating func set(_ row: Int) { words[row / 64] |= 1 << UInt64(row % 64) }
}
