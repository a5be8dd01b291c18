import Features

/// Prepared rows, column by column of what is known of a row: features before encoding, categories, label.
struct RowTable: Sendable {
    private(set) var features: [Float] = []
    private(set) var categories: [UInt64] = []
    /// 1 anomalous, 0 not, -1 unknown; of injected rows 1 and more, see `Injection.label`.
    private(set) var labels: [Int8] = []
    /// Numbers of the users.
    private(set) var users: [UInt32] = []
    /// Event times, epoch milliseconds.
    private(set) var times: [Int64] = []
    /// What decides whether a sample keeps the row; see `RowSample`.
    private(set) var priorities: [UInt64] = []

    static let width = UserWindow.featureCount
    static let categoryCount = PreprocessingPlan.categoryCount

    var count: Int { labels.count }

    mutating func append(_ row: HistoryRow, features: UnsafeBufferPointer<Float>, priority: UInt64) {
        self.features.append(contentsOf: features)
        row.appendCategories(to: &categories)
        labels.append(Int8(truncatingIfNeeded: row.label))
        users.append(row.user)
        times.append(row.timestampMilliseconds)
        priorities.append(priority)
    }

    mutating func removeAll() {
        features.removeAll(keepingCapacity: true)
        categories.removeAll(keepingCapacity: true)
        labels.removeAll(keepingCapacity: true)
        users.removeAll(keepingCapacity: true)
        times.removeAll(keepingCapacity: true)
        priorities.removeAll(keepingCapacity: true)
    }

    /// The first feature of each row.
    var amounts: [Float] { (0..<count).map { features[$0 * Self.width] } }

    func numeric(_ row: Int) -> ArraySlice<Float> { features[row * Self.width..<(row + 1) * Self.width] }

    func categories(_ row: Int) -> ArraySlice<UInt64> {
        categories[row * Self.categoryCount..<(row + 1) * Self.categoryCount]
    }

    /// The rows, and those of another table behind them.
    func appending(_ other: RowTable) -> RowTable {
        var table = self
        table.features.append(contentsOf: other.features)
        table.categories.append(contentsOf: other.categories)
        table.labels.append(contentsOf: other.labels)
        table.users.append(contentsOf: other.users)
        table.times.append(contentsOf: other.times)
        table.priorities.append(contentsOf: other.priorities)
        return table
    }

    /// Some of the rows, in the order given.
    func gathering(_ rows: [Int]) -> RowTable {
        var table = RowTable()
        table.features = Self.gather(features, rows, width: Self.width)
        table.categories = Self.gather(categories, rows, width: Self.categoryCount)
        table.labels = Self.gather(labels, rows)
        table.users = Self.gather(users, rows)
        table.times = Self.gather(times, rows)
        table.priorities = Self.gather(priorities, rows)
        return table
    }

    private static func gather<Value: BitwiseCopyable>(
        _ values: [Value], _ rows: [Int], width: Int = 1
    ) -> [Value] {
        [Value](unsafeUninitializedCapacity: rows.count * width) { into, count in
            values.withUnsafeBufferPointer { values in
                for (place, row) in rows.enumerated() {
                    _ = UnsafeMutableBufferPointer(rebasing: into[place * width..<(place + 1) * width])
                        .initialize(fromContentsOf: values[row * width..<(row + 1) * width])
                }
            }
            count = rows.count * width
        }
    }

    /// The rows as a model wants them, `count x plan.columnCount`, row-major.
    func encoded(_ plan: PreprocessingPlan) -> [Float] {
        let columns = plan.columnCount
        return [Float](unsafeUninitializedCapacity: count * columns) { into, initialized in
            features.withUnsafeBufferPointer { features in
                categories.withUnsafeBufferPointer { categories in
                    for row in 0..<count {
                        plan.apply(
                            numeric: .init(rebasing: features[row * Self.width..<(row + 1) * Self.width]),
                            categories: .init(
                                rebasing: categories[
                                    row * Self.categoryCount..<(row + 1) * Self.categoryCount]),
                            into: .init(rebasing: into[row * columns..<(row + 1) * columns]))
                    }
                }
            }
            initialized = count * columns
        }
    }

    /// Fits scaling and encoding to the rows.
    func preprocessing(_ names: CategoryNames, _ options: PreprocessingFitter.Options) -> Preprocessing {
        features.withUnsafeBufferPointer { features in
            categories.withUnsafeBufferPointer { categories in
                PreprocessingFitter.fit(numeric: features, categories: categories, options: options) {
                    names[$0]
                }
            }
        }
    }
}
