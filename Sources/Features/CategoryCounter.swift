/// Counts the common ones among any number of different texts, in bounded memory.
///
/// Up to `capacity` different texts are counted exactly. Beyond that, counts are too low by at most total /
/// `capacity`, and a text that is more common than that is never lost: Misra-Gries, merged as in Agarwal et al.,
/// "Mergeable summaries" (PODS 2012), section 2. Depends on the order of rows only beyond `capacity` texts.
struct CategoryCounter: Sendable {
    static let capacity = 1024

    private struct Entry: Sendable {
        var text: String
        var count: UInt64
    }

    private var entries: [UInt64: Entry] = [:]
    /// Rows that had a text.
    private(set) var total: UInt64 = 0

    /// - Parameters:
    ///   - hash: Of the text; not 0.
    ///   - text: Asked for when the text is not known yet.
    mutating func add(_ hash: UInt64, text: () -> String) {
        total += 1
        if increase(hash, by: 1) { return }
        entries[hash] = Entry(text: text(), count: 1)
        // Room for twice as many, so that pruning is paid for by as many additions.
        if entries.count >= 2 * Self.capacity { prune() }
    }

    mutating func merge(_ other: CategoryCounter) {
        total += other.total
        for (hash, entry) in other.entries {
            if increase(hash, by: entry.count) { continue }
            entries[hash] = entry
        }
        if entries.count >= 2 * Self.capacity { prune() }
    }

    /// False when the text is not known.
    private mutating func increase(_ hash: UInt64, by count: UInt64) -> Bool {
        guard let index = entries.index(forKey: hash) else { return false }
        entries.values[index].count += count
        return true
    }

    /// Takes the count of the most common text beyond `capacity` from all, and drops those that it brings to 0.
    private mutating func prune() {
        let counts = entries.values.map(\.count).sorted(by: >)
        let cut = counts[Self.capacity]
        entries = entries.filter { $0.value.count > cut }
        for hash in entries.keys { entries[hash]?.count -= cut }
    }

    /// Every text still known with its count, ascending by UTF-8 bytes.
    func counts() -> [(text: String, count: UInt64)] {
        entries.values.map { ($0.text, $0.count) }.sorted {
            $0.text.utf8.lexicographicallyPrecedes($1.text.utf8)
        }
    }
}
