import DetectorAPI
import Features

/// A uniform sample of rows, of bounded size, which depends on the rows and the seed alone: not on their order, nor on
/// the parts and files that they come in.
///
/// Each row has a random priority, made of the seed and the transaction; the rows of the lowest priorities are the
/// sample ("bottom-k"; Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007).
struct RowSample: Sendable {
    let capacity: Int
    let seed: UInt64
    /// Rows that were offered.
    private(set) var seen = 0
    private var table = RowTable()
    /// Rows from here on cannot be in the sample.
    private var cutoff = UInt64.max

    init(capacity: Int, seed: UInt64) {
        self.capacity = capacity
        self.seed = seed
    }

    /// - Returns: The row's priority if it may be in the sample; nil when it is not.
    mutating func add(_ row: HistoryRow, features: UnsafeBufferPointer<Float>) -> UInt64? {
        seen += 1
        let priority = Self.priority(of: row, seed: seed)
        return keep(row, features: features, priority: priority) ? priority : nil
    }

    /// Adds what belongs to a row of another sample of the same capacity, under that row's priority.
    @discardableResult
    mutating func keep(_ row: HistoryRow, features: UnsafeBufferPointer<Float>, priority: UInt64) -> Bool {
        guard priority < cutoff else { return false }
        table.append(row, features: features, priority: priority)
        // Room for more, so that compacting is paid for by as many additions.
        if table.count >= capacity + max(1024, capacity / 4) { compact() }
        return true
    }

    mutating func removeAll() {
        seen = 0
        cutoff = .max
        table.removeAll()
    }

    /// The sample, in the order of its priorities.
    mutating func rows() -> RowTable {
        // Of a few the table keeps its room for the next user's; of many there should be but one copy.
        guard table.count > Self.fewRows else { return table.gathering(chosen()) }
        compact()
        return table
    }

    private static let fewRows = 10_000

    private mutating func compact() {
        table = table.gathering(chosen())
        if table.count == capacity, let last = table.priorities.last { cutoff = last }
    }

    private struct Ranked: Comparable {
        let priority: UInt64
        let row: Int

        static func < (a: Ranked, b: Ranked) -> Bool {
            a.priority != b.priority ? a.priority < b.priority : a.row < b.row
        }
    }

    /// Which rows of the table are the sample.
    private func chosen() -> [Int] {
        // Priorities are random: dealt out by their first bits, hardly any of them lies far from its place.
        let count = table.priorities.count
        // Those of a sample that has been compacted are all small.
        let shift = (table.priorities.max() ?? 0).leadingZeroBitCount
        func bucket(_ priority: UInt64) -> Int {
            Int((priority << shift).multipliedFullWidth(by: UInt64(count)).high)  // fits: below count
        }
        var ends = [Int](repeating: 0, count: count + 1)
        for priority in table.priorities { ends[bucket(priority) + 1] += 1 }
        for place in 0..<count { ends[place + 1] += ends[place] }
        var ranked = [Ranked](repeating: Ranked(priority: 0, row: 0), count: count)
        for (row, priority) in table.priorities.enumerated() {
            let bucket = bucket(priority)
            ranked[ends[bucket]] = Ranked(priority: priority, row: row)
            ends[bucket] += 1
        }
        Self.sortNearly(&ranked)
        return ranked.prefix(capacity).map(\.row)
    }

    /// Sorts what is in order but for a few neighbours; what is not takes the usual way.
    private static func sortNearly(_ ranked: inout [Ranked]) {
        var moves = 8 * ranked.count
        for place in ranked.indices.dropFirst() {
            let one = ranked[place]
            var hole = place
            while hole > 0, one < ranked[hole - 1], moves > 0 {
                ranked[hole] = ranked[hole - 1]
                hole -= 1
                moves -= 1
            }
            ranked[hole] = one
        }
        if moves == 0 { ranked.sort() }
    }

    private static func priority(of row: HistoryRow, seed: UInt64) -> UInt64 {
        func mixed(_ state: UInt64, _ word: UInt64) -> UInt64 {
            var generator = SeededGenerator(seed: state ^ word)
            return generator.next()
        }
        let time = mixed(mixed(seed, row.transaction), UInt64(bitPattern: row.timestampMilliseconds))
        return mixed(mixed(time, row.amount.bitPattern), row.merchant ^ row.device)
    }
}
