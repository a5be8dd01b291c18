import DetectorAPI

/// Rows to try a detector on; the same on every machine.
struct SampleTable: Sendable {
    var values: [Float]
    let columns: Int

    var count: Int { values.count / columns }

    subscript(row: Int) -> [Float] { Array(values[row * columns..<(row + 1) * columns]) }

    init(_ values: [Float], columns: Int) {
        self.values = values
        self.columns = columns
    }

    init(rows: [[Float]]) {
        self.init(rows.flatMap(\.self), columns: rows.first?.count ?? 1)
    }

    /// Near enough to a normal distribution of mean 0 and deviation 1: the sum of twelve uniform numbers.
    static func normal(_ count: Int, columns: Int, seed: UInt64 = 1) -> SampleTable {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<count * columns).map { _ in
            Float((0..<12).reduce(-6.0) { sum, _ in sum + generator.unit() })
        }
        return SampleTable(values, columns: columns)
    }

    /// Rows that nobody expects: missing, infinite, the largest, the smallest.
    static func extremes(columns: Int) -> SampleTable {
        let odd: [Float] = [
            .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
            .leastNonzeroMagnitude, 0, -0.0, 1e30, -1e30,
        ]
        let even = odd.map { [Float](repeating: $0, count: columns) }
        let mixed = odd.indices.map { row in (0..<columns).map { odd[(row + 3 * $0) % odd.count] } }
        return SampleTable(rows: even + mixed)
    }

    func withRows<R>(_ body: (FeatureRows) throws -> R) rethrows -> R {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    func rows(_ indices: some Sequence<Int>) -> SampleTable {
        SampleTable(indices.flatMap { self[$0] }, columns: columns)
    }

    func prefix(rows: Int, columns kept: Int) -> SampleTable {
        SampleTable((0..<rows).flatMap { self[$0].prefix(kept) }, columns: kept)
    }

    /// A smaller table that still fails: rows, then columns are halved, then taken away one by one.
    func shrunk(while fails: (SampleTable) -> Bool) -> SampleTable {
        var smallest = self
        var triesLeft = 200
        func tries(_ candidate: SampleTable) -> Bool {
            triesLeft -= 1
            guard triesLeft >= 0, fails(candidate) else { return false }
            smallest = candidate
            return true
        }
        while smallest.count > 1, tries(smallest.prefix(rows: smallest.count / 2, columns: smallest.columns))
        {}
        while smallest.columns > 1,
            tries(smallest.prefix(rows: smallest.count, columns: smallest.columns / 2))
        {}
        while smallest.count > 1, tries(smallest.prefix(rows: smallest.count - 1, columns: smallest.columns))
        {}
        while smallest.columns > 1,
            tries(smallest.prefix(rows: smallest.count, columns: smallest.columns - 1))
        {}
        return smallest
    }
}

extension SampleTable: CustomStringConvertible {
    var description: String {
        let shown = values.prefix(12).map { "\($0)" }.joined(separator: ", ")
        let more = values.count > 12 ? ", ..." : ""
        return "\(count) rows of \(columns) columns, [\(shown)\(more)]"
    }
}
