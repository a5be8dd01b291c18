import DetectorAPI
import Features
import Transactions

/// A uniform sample of rows, bounded, the same for the same rows and seed: Algorithm R (Vitter 1985).
struct RowSample {
    let capacity: Int
    private(set) var seen = 0
    private(set) var labels: [Int8] = []
    private var features: [Float] = []
    private var categories: [UInt64] = []
    private var generator: SeededGenerator

    init(capacity: Int, seed: UInt64) {
        self.capacity = capacity
        generator = SeededGenerator(seed: seed)
    }

    var count: Int { labels.count }

    mutating func add(_ row: PreparedRow) {
        seen += 1
        if count < capacity {
            features.append(contentsOf: row.features)
            for (_, field) in FeatureSchema.categorical {
                categories.append(row.transactions.hash(field, row.row))
            }
            labels.append(row.label)
            return
        }
        let place = generator.below(seen)
        guard place < capacity else { return }
        let width = UserWindow.featureCount
        for (index, value) in row.features.enumerated() { features[place * width + index] = value }
        for (index, category) in FeatureSchema.categorical.enumerated() {
            categories[place * FeatureSchema.categorical.count + index] = row.transactions.hash(
                category.field, row.row)
        }
        labels[place] = row.label
    }

    /// Rows that look like known kinds of fraud, made from these: what a detector must find where there are no labels.
    ///
    /// In turn: ten times the amount; far away, in a new country, with a new device; many small payments within
    /// minutes at new merchants.
    func injected() -> RowSample {
        var copy = self
        let width = UserWindow.featureCount
        for row in 0..<count {
            copy.features.withUnsafeMutableBufferPointer { features in
                let values = UnsafeMutableBufferPointer(rebasing: features[row * width..<(row + 1) * width])
                Injection.allCases[row % Injection.allCases.count].apply(to: values)
            }
            copy.labels[row] = 1
        }
        return copy
    }

    /// The rows as a model wants them, row-major.
    func encoded(_ plan: PreprocessingPlan) -> [Float] {
        let width = UserWindow.featureCount
        let categoryCount = PreprocessingPlan.categoryCount
        let columns = plan.columnCount
        return [Float](unsafeUninitializedCapacity: count * columns) { into, initialized in
            features.withUnsafeBufferPointer { features in
                categories.withUnsafeBufferPointer { categories in
                    for row in 0..<count {
                        plan.apply(
                            numeric: UnsafeBufferPointer(rebasing: features[row * width..<(row + 1) * width]),
                            categories: UnsafeBufferPointer(
                                rebasing: categories[row * categoryCount..<(row + 1) * categoryCount]),
                            into: UnsafeMutableBufferPointer(
                                rebasing: into[row * columns..<(row + 1) * columns]))
                    }
                }
            }
            initialized = count * columns
        }
    }
}

/// Kinds of fraud as they show in the features.
enum Injection: CaseIterable {
    case amount, travel, burst

    func apply(to row: UnsafeMutableBufferPointer<Float>) {
        func change(_ name: String, _ value: (Float) -> Float) {
            if let index = FeatureSchema.index(of: name) { row[index] = value(row[index]) }
        }
        switch self {
        case .amount:
            change("amount") { $0 * 10 }
            change("log_amount") { $0 + 2.302_585 }
            change("amount_ratio_30d") { $0 * 10 }
            // The same deviation, a mean that the ratio no longer tells: ten deviations more is what ten amounts are
            // for somebody whose amounts vary as much as they are large.
            change("amount_zscore_30d") { $0 + 10 }
        case .travel:
            change("speed_kmh") { _ in 3_000 }
            change("new_country") { _ in 1 }
            change("new_device") { _ in 1 }
        case .burst:
            change("seconds_since_last") { _ in 20 }
            change("count_1h") { $0 + 8 }
            change("count_24h") { $0 + 8 }
            change("new_merchant") { _ in 1 }
            change("amount") { _ in 1 }
            change("log_amount") { _ in 0.693_147 }
            change("amount_ratio_30d") { $0 * 0.02 }
        }
    }
}
