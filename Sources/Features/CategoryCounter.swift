/// Counts the common ones among any number of different texts, in bounded memory.
///
/// Up to `capacity` different texts are counted exactly. Beyond that, counts are too low by at most total /
/// `capacity`, and a text that is more common than that is never lost: Misra-Gries, merged as in Agarwal et al.,
/// "Mergeable summaries" (PODS 2012), section 2. Depends on the order of rows only beyond `capacity` texts.
struct CategoryCounter: Sendable {
    static let capacity = 1024

    /// Few texts are found quicker by looking at each of them than by a table.
    private static let fewTexts = 16

    typealias Count = (text: String, count: UInt64)

    private struct Entry: Sendable {
        let hash: UInt64
        var text: String
        var count: UInt64
    }

    private var entries: [Entry] = []
    /// Where each text's entry is; empty while there are few.
    private var places: [UInt64: Int] = [:]
    /// Rows that had a text.
    private(set) var total: UInt64 = 0

    /// - Parameters:
    ///   - hash: Of the text; not 0.
    ///   - text: Asked for when the text is not known yet; nil: the row has none.
    @inline(__always)
    mutating func add(_ hash: UInt64, text: () -> String?) {
        if let place = place(of: hash) {
            entries[place].count += 1
        } else {
            guard let text = text() else { return }
            append(Entry(hash: hash, text: text, count: 1))
        }
        total += 1
    }

    mutating func merge(_ other: CategoryCounter) {
        total += other.total
        for entry in other.entries {
            if let place = place(of: entry.hash) {
                entries[place].count += entry.count
            } else {
                append(entry, prunes: false)
            }
        }
        if entries.count >= 2 * Self.capacity { prune() }
    }

    @inline(__always)
    private func place(of hash: UInt64) -> Int? {
        if entries.count > Self.fewTexts { return places[hash] }
        for place in entries.indices where entries[place].hash == hash { return place }
        return nil
    }

    private mutating func append(_ entry: Entry, prunes: Bool = true) {
        entries.append(entry)
        index()
        // Room for twice as many, so that pruning is paid for by as many additions.
        if prunes, entries.count >= 2 * Self.capacity { prune() }
    }

    /// Enters the last entry into the table, and all of them when they have become many.
    private mutating func index() {
        guard entries.count > Self.fewTexts else { return }
        for place in (places.isEmpty ? 0 : entries.count - 1)..<entries.count {
            places[entries[place].hash] = place
        }
    }

    /// Takes the count of the most common text beyond `capacity` from all, and drops those that it brings to 0.
    private mutating func prune() {
        let counts = entries.map(\.count).sorted(by: >)
        let cut = counts[Self.capacity]
        entries.removeAll { $0.count <= cut }
        for place in entries.indices { entries[place].count -= cut }
        places.removeAll(keepingCapacity: true)
        if !entries.isEmpty { index() }
    }

    /// Every text still known with its count, ascending by UTF-8 bytes.
    func counts() -> [Count] {
        let sorted = entries.sorted { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }
        var counts: [Count] = []
        for entry in sorted {
            // Bytes that are no UTF-8 have hashes of their own, and may read as one text.
            if let last = counts.last, last.text.utf8.elementsEqual(entry.text.utf8) {
                counts[counts.count - 1].count += entry.count
            } else {
                counts.append((entry.text, entry.count))
            }
        }
        return counts
    }
}
