/// One of the candidates that `detector: auto` chose from, and how it did on the holdout.
public struct CandidateJudgement: Codable, Sendable, Hashable {
    /// The detector, and the parameters that are not its defaults: `ensemble learn=false`.
    public var name: String
    /// What it saw: `all` features, or those of the `transaction`.
    public var features: String
    /// `average_precision` and `precision_at_budget` with labels; `injected_precision`, `agreement`, `alert_rate`.
    public var measures: [String: Double]
    public var isChosen: Bool
    /// Why it was not judged.
    public var note: String?

    public init(
        name: String, features: String, measures: [String: Double], isChosen: Bool = false,
        note: String? = nil
    ) {
        self.name = name
        self.features = features
        self.measures = measures
        self.isChosen = isChosen
        self.note = note
    }
}

/// One line of the table by which a version was let through to serving, or not.
public struct GateCheck: Codable, Sendable, Hashable {
    public enum Bound: String, Codable, Sendable, Hashable {
        case atMost = "at-most"
        case atLeast = "at-least"
    }

    public var name: String
    public var value: Double
    public var bound: Bound
    public var limit: Double

    public init(_ name: String, _ value: Double, _ bound: Bound, _ limit: Double) {
        self.name = name
        self.value = value
        self.bound = bound
        self.limit = limit
    }

    public var isPassed: Bool {
        switch bound {
        case .atMost: value <= limit
        case .atLeast: value >= limit
        }
    }
}

/// A tenth of a holdout's rows by score.
public struct HoldoutDecile: Codable, Sendable, Hashable {
    public var rows: Int
    /// Known ones among the rows.
    public var frauds: Int
    /// Injected frauds that score as these rows do.
    public var injected: Int
    public var highestScore: Double

    public init(rows: Int, frauds: Int, injected: Int, highestScore: Double) {
        self.rows = rows
        self.frauds = frauds
        self.injected = injected
        self.highestScore = highestScore
    }
}

/// How a column's values were spread over the training rows: what drift is measured against.
public struct Histogram: Codable, Sendable, Hashable {
    /// Bounds between the bins, strictly ascending; bin i holds what is at or above `edges[i - 1]` and below `edges[i]`.
    public var edges: [Double]
    /// Share of the rows in each bin, one more than edges; they and `missing` sum to 1.
    public var shares: [Double]
    public var missing: Double

    public init?(edges: [Double], shares: [Double], missing: Double) {
        let isAscending = zip(edges, edges.dropFirst()).allSatisfy { $0 < $1 }
        let numbers = shares + [missing]
        guard isAscending, edges.allSatisfy(\.isFinite), shares.count == edges.count + 1,
            shares.count <= Self.maximumBins, numbers.allSatisfy({ $0 >= 0 && $0 <= 1 })
        else { return nil }
        self.edges = edges
        self.shares = shares
        self.missing = missing
    }

    static let maximumBins = 64
    public static let usualBins = 10

    /// Tenths of the values; fewer where many are equal. nil without values.
    public init?(of values: [Double]) {
        let sorted = values.filter(\.isFinite).sorted()
        guard !sorted.isEmpty else { return nil }
        var edges: [Double] = []
        for bin in 1..<Self.usualBins {
            let edge = sorted[bin * sorted.count / Self.usualBins]
            if edge != edges.last, edge > sorted[0] { edges.append(edge) }
        }
        // One value in most rows: what lies above it is a bin of its own.
        if let last = edges.last ?? sorted.first, let above = sorted.first(where: { $0 > last }),
            above != last
        {
            if edges.isEmpty { edges.append(above) }
        }
        var counts = [Double](repeating: 0, count: edges.count + 1)
        for value in sorted { counts[edges.count { $0 <= value }] += 1 }
        let total = Double(values.count)
        self.init(
            edges: edges, shares: counts.map { $0 / total },
            missing: Double(values.count - sorted.count) / total)
    }

    /// Of codes, which are 0..<count; nil when they are too many.
    public init?(codes: [Double], count: Int) {
        guard count > 0, count <= Self.maximumBins, !codes.isEmpty else { return nil }
        var counts = [Double](repeating: 0, count: count)
        var missing = 0.0
        for code in codes {
            if code >= 0, code < Double(count) { counts[Int(code)] += 1 } else { missing += 1 }
        }
        let total = Double(codes.count)
        self.init(
            edges: (1..<count).map { Double($0) - 0.5 }, shares: counts.map { $0 / total },
            missing: missing / total)
    }

    /// The bin of a value; `shares.count` for a missing one.
    public func bin(of value: Double) -> Int {
        guard value.isFinite else { return shares.count }
        var low = 0
        var high = edges.count
        while low < high {
            let middle = (low + high) / 2
            if edges[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Population stability index of counts, one for each bin and one for missing values: the sum over them of
    /// (q - p) ln(q / p), each share at least half a row of the counts. Below 0.1 is usual, above 0.25 a shift.
    public func stabilityIndex(_ counts: [Int], logarithm: (Double) -> Double) -> Double {
        let total = Double(counts.reduce(0, +))
        guard total > 0, counts.count == shares.count + 1 else { return 0 }
        let least = 0.5 / total
        return zip(shares + [missing], counts).reduce(0) { sum, pair in
            let (p, q) = (max(pair.0, least), max(Double(pair.1) / total, least))
            return sum + (q - p) * logarithm(q / p)
        }
    }
}

/// What the training rows looked like, kept with the model.
public struct TrainingProfile: Codable, Sendable, Hashable {
    public var scores: Histogram
    /// Of the features that the model sees, by name, before encoding; of a category by how common it is.
    public var features: [String: Histogram]

    public init(scores: Histogram, features: [String: Histogram]) {
        self.scores = scores
        self.features = features
    }
}
