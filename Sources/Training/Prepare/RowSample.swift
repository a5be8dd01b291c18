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

    private struct Ranked {
        let priority: UInt64
        let row: Int
    }

    /// Which rows of the table are the sample.
    private func chosen() -> [Int] {
        var ranked = table.priorities.enumerated().map { Ranked(priority: $1, row: $0) }
        ranked.sort { $0.priority != $1.priority ? $0.priority < $1.priority : $0.row < $1.row }
        return ranked.prefix(capacity).map(\.row)
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
