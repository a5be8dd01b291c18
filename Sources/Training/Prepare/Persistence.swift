import Features

/// Features that tell users apart rather than transactions.
///
/// How much somebody spends in 30 days says who they are, not whether this payment is odd; a detector that learns without
/// labels calls the biggest spenders anomalous, day after day. So it does not see features that hardly vary within a
/// user: of whose ranks at least `limit` of the variance lies between users (the intraclass correlation of R. A. Fisher,
/// Statistical Methods for Research Workers, 1925, section 40). What a transaction itself is stays, as do comparisons
/// with the user's own history; what these compare goes, too: a long pause is usual for those who pay seldom, and a large
/// sum for those who spend much.
enum Persistence {
    static let limit = 0.6
    /// The transaction's own, however much users differ in it.
    private static let ownFeatures: Set = ["amount", "log_amount"]
    /// Fewer rows of users with several say nothing: `usual` is taken then.
    private static let minimumRows = 1_000
    /// More do not say more.
    private static let maximumRows = 65_536

    /// What persists in every set of transactions that was looked at. Left out also where windows that are still filling
    /// hide it.
    static let usual: Set = [
        "count_7d", "sum_7d", "mean_7d", "count_30d", "sum_30d", "mean_30d", "country", "currency",
    ]

    /// Names of the features that persist.
    static func features(of rows: RowTable) -> Set<String> {
        let chosen = Array(0..<min(rows.count, maximumRows))
        let groups = Groups(chosen.map { rows.users[$0] })
        var found = usual.union(FeatureSchema.compared.values)
        guard groups.rowsOfSeveral >= minimumRows else { return found }
        let width = RowTable.width
        for (column, feature) in FeatureSchema.numeric.enumerated() where !ownFeatures.contains(feature.name)
        {
            let values = chosen.map { rows.features[$0 * width + column] }
            if groups.shareBetween(ranks(values)) >= limit { found.insert(feature.name) }
        }
        let categories = RowTable.categoryCount
        for (column, (feature, _)) in FeatureSchema.categorical.enumerated() {
            let hashes = chosen.map { rows.categories[$0 * categories + column] }
            if groups.shareBetween(commonness(hashes)) >= limit { found.insert(feature.name) }
        }
        return found
    }

    /// Mean ranks of tied values; NaN where there is none.
    private static func ranks(_ values: [Float]) -> [Double] {
        let order = values.indices.filter { !values[$0].isNaN }.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: .nan, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            for place in start..<end { ranks[order[place]] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }

    /// How many rows have the same category: a number that stands for it.
    private static func commonness(_ hashes: [UInt64]) -> [Double] {
        var counts: [UInt64: Int] = [:]
        for hash in hashes { counts[hash, default: 0] += 1 }
        return hashes.map { $0 == 0 ? .nan : Double(counts[$0] ?? 0) }
    }
}

/// Rows by user.
private struct Groups {
    private let group: [Int]
    private let count: Int
    /// Rows of users that have more than one.
    let rowsOfSeveral: Int

    init(_ users: [UInt32]) {
        var numbers: [UInt32: Int] = [:]
        var sizes: [Int] = []
        group = users.map { user in
            let number = numbers[user] ?? sizes.count
            if number == sizes.count {
                numbers[user] = number
                sizes.append(0)
            }
            sizes[number] += 1
            return number
        }
        count = sizes.count
        rowsOfSeveral = sizes.reduce(0) { $1 > 1 ? $0 + $1 : $0 }
    }

    /// 1 minus the variance within users over the whole variance; 0 for what does not vary.
    func shareBetween(_ values: [Double]) -> Double {
        var sums = [Double](repeating: 0, count: count)
        var counts = [Double](repeating: 0, count: count)
        var (total, number) = (0.0, 0.0)
        for (row, value) in values.enumerated() where !value.isNaN {
            sums[group[row]] += value
            counts[group[row]] += 1
            total += value
            number += 1
        }
        guard number > 0 else { return 0 }
        let mean = total / number
        var (whole, within, several, users) = (0.0, 0.0, 0.0, 0.0)
        for (row, value) in values.enumerated() where !value.isNaN {
            whole += (value - mean) * (value - mean)
            let own = group[row]
            guard counts[own] > 1 else { continue }
            let difference = value - sums[own] / counts[own]
            within += difference * difference
            several += 1
        }
        for own in counts where own > 1 { users += 1 }
        guard whole > 0, several > users else { return 0 }
        return 1 - within / (several - users) / (whole / number)
    }
}
