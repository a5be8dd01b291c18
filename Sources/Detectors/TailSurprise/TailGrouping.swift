import DetectorAPI

/// Finds the categorical column within which a numeric one should be judged.
///
/// An amount that is usual for a flight is not for groceries, one in yen not for euros. Of the categorical columns the one
/// counts that explains most of the variance of the values' ranks (Kruskal and Wallis, *JASA* 47, 1952, less what chance
/// explains), if that is a tenth or more: on generated transactions the category explains 0.4 to 0.5 of how amounts compare,
/// and less than 0.02 of anything else.
struct TailGrouping {
    private static let leastShare = 0.1
    /// A code of fewer rows has no tail of its own.
    private static let leastRows = 300
    /// Among so many rows a share is known well enough.
    private static let sampledRows = 16_384

    private struct Codes {
        let column: Int
        let cardinality: Int
    }

    struct Groups {
        /// The place of the categorical column.
        let column: Int
        /// By code; last those of rows without one.
        let values: [[Float]]

        func hasOwn(_ code: Int) -> Bool { code < values.count - 1 && values[code].count >= leastRows }
    }

    private let rows: FeatureRows
    private let categories: [Codes]

    init(_ rows: FeatureRows, _ columns: [FeatureColumn], isWanted: Bool) {
        self.rows = rows
        categories = columns.prefix(rows.columns).enumerated().compactMap { place, column in
            guard isWanted, case .categorical(let cardinality) = column.kind, cardinality > 1 else {
                return nil
            }
            return Codes(column: place, cardinality: cardinality)
        }
    }

    /// - Parameters:
    ///   - values: Of the column, none NaN.
    ///   - places: The row of each.
    ///   - sorted: The same values, ascending.
    /// - Returns: nil where the column is to be judged as a whole.
    func groups(_ values: [Float], _ places: [Int], sorted: [Float]) -> Groups? {
        guard values.count >= 2 * Self.leastRows, sorted.first != sorted.last else { return nil }
        var best: (share: Double, codes: Codes)?
        for codes in categories {
            let share = explained(values, places, sorted, codes)
            if share >= Self.leastShare, share > best?.share ?? 0 { best = (share, codes) }
        }
        guard let codes = best?.codes else { return nil }
        var grouped = [[Float]](repeating: [], count: codes.cardinality)
        for (value, row) in zip(values, places) {
            grouped[code(row, codes) ?? codes.cardinality - 1].append(value)
        }
        guard grouped.dropLast().contains(where: { $0.count >= Self.leastRows }) else { return nil }
        return Groups(column: codes.column, values: grouped)
    }

    /// nil for a row without one, and for the last, which stands for all that have none of their own.
    private func code(_ row: Int, _ codes: Codes) -> Int? {
        guard let code = Int(exactly: rows.values[row * rows.columns + codes.column]) else { return nil }
        return code >= 0 && code < codes.cardinality - 1 ? code : nil
    }

    /// The share of the variance of the values' ranks that lies between codes; about 0 where they tell nothing.
    private func explained(_ values: [Float], _ places: [Int], _ sorted: [Float], _ codes: Codes) -> Double {
        var counts = [Double](repeating: 0, count: codes.cardinality)
        var sums = counts
        var (count, sum, squares) = (0.0, 0.0, 0.0)
        let step = max(1, values.count / Self.sampledRows)
        for place in stride(from: 0, to: values.count, by: step) {
            guard let code = code(places[place], codes) else { continue }
            let rank = sorted.shareBeyond(values[place])
            counts[code] += 1
            sums[code] += rank
            count += 1
            sum += rank
            squares += rank * rank
        }
        let groups = Double(counts.count { $0 > 0 })
        guard count > groups, groups > 1 else { return 0 }
        let total = squares - sum * sum / count
        guard total > 0 else { return 0 }
        var between = -sum * sum / count
        for code in counts.indices where counts[code] > 0 {
            between += sums[code] * sums[code] / counts[code]
        }
        return 1 - (total - between) / (count - groups) * (count - 1) / total
    }
}
