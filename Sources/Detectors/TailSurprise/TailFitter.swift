import DetectorAPI
import Exact

/// Fits the columns one by one.
struct TailFitter {
    /// More rows than this do not make a table noticeably better.
    static let maximumRows = 262_144
    /// Values of a larger surprise are extreme: one in 3,000 of a column whose tail is as its bulk says.
    private static let extreme = 8.0
    private static let extremeShare = 0.000_335_462_63
    /// Rows that are taken to be as expected, so that a handful of rows does not weigh a column up.
    private static let prior = 5.0
    private static let greatestRatio = 100.0

    let rows: FeatureRows
    let context: FitContext
    private let parameters: TailParameters
    private let chosen: [Int]
    private let grouping: TailGrouping

    init(_ rows: FeatureRows, _ context: FitContext) {
        self.rows = rows
        self.context = context
        parameters = TailParameters(context.parameters)
        chosen = Self.draw(rows.count, seed: context.seed)
        grouping = TailGrouping(rows, context.columns, isWanted: parameters.groups)
    }

    func fit() throws -> TailPayload {
        var columns: [TailColumn] = []
        while columns.count < rows.columns {
            if context.isCancelled() { throw DetectorError.cancelled }
            let column = columns.count
            context.progress(Double(column) / Double(rows.columns))
            if isAngle(column), let places = places(column) {
                columns.append(TailColumn(shape: .sine(places), weight: 1))
                columns.append(TailColumn(shape: .cosine, weight: 1))
            } else {
                columns.append(fit(column))
            }
        }
        context.progress(1)
        return TailPayload(columns: columns, lowLimit: Float(parameters.lowLimit))
    }

    private func fit(_ column: Int) -> TailColumn {
        if column < context.columns.count, case .categorical(let cardinality) = context.columns[column].kind {
            return TailColumn(shape: codes(column, cardinality), weight: 1)
        }
        let (values, rows) = known(column)
        guard !values.isEmpty else { return TailColumn(shape: .empty, weight: 1) }
        let sorted = values.sorted()
        let all = sides(sorted)
        guard let groups = grouping.groups(values, rows, sorted: sorted) else {
            return TailColumn(
                shape: .number(high: all.high, low: all.low),
                weight: weight(extremes(sorted, all), among: sorted.count))
        }
        var extremes = 0
        var codes: [TailGroups.Sides?] = []
        for code in groups.values.indices {
            let values = groups.values[code].sorted()
            let own = groups.hasOwn(code) ? sides(values) : nil
            extremes += self.extremes(values, own ?? all)
            codes.append(own)
        }
        return TailColumn(
            shape: .grouped(TailGroups(column: groups.column, all: all, codes: codes)),
            weight: weight(extremes, among: sorted.count))
    }

    /// The values of a numeric column, and the row of each.
    private func known(_ column: Int) -> (values: [Float], rows: [Int]) {
        var values: [Float] = []
        var found: [Int] = []
        values.reserveCapacity(chosen.count)
        found.reserveCapacity(chosen.count)
        let greatest = Float.greatestFiniteMagnitude
        for row in chosen {
            let value = rows.values[row * rows.columns + column]
            guard !value.isNaN else { continue }
            values.append(min(max(value, -greatest), greatest) + 0)
            found.append(row)
        }
        return (values, found)
    }

    private func sides(_ sorted: [Float]) -> TailGroups.Sides {
        .init(high: TailSide(sorted: sorted), low: TailSide(sorted: sorted.reversed().map { -$0 }))
    }

    private func extremes(_ values: [Float], _ sides: TailGroups.Sides) -> Int {
        let column = TailColumn(shape: .number(high: sides.high, low: sides.low), weight: 1)
        let table = TailTable(TailPayload(columns: [column], lowLimit: Float(TailSide.greatest)))
        return values.count { table.surprise($0) > Self.extreme }
    }

    /// How many times more extreme values there are than the bulk explains, to the power of 1.5: 1 was too little for
    /// the handbook's frauds, 2 too much where several features tell (docs/detectors.md).
    private func weight(_ extremes: Int, among count: Int) -> Double {
        guard parameters.weighs else { return 1 }
        let ratio = (Double(extremes) + Self.prior) / (Double(count) * Self.extremeShare + Self.prior)
        let excess = min(max(ratio, 1), Self.greatestRatio)
        return excess * excess.squareRoot()
    }

    /// The surprise of a code: of the share of rows whose code is as rare or rarer. The last code stands for all
    /// categories without one of their own: that a name is new by itself says nothing.
    private func codes(_ column: Int, _ cardinality: Int) -> TailColumn.Shape {
        var counts = [Int](repeating: 0, count: max(cardinality, 0))
        var total = 0
        for row in chosen {
            let value = rows.values[row * rows.columns + column]
            guard value >= 0, value < Float(cardinality) else { continue }
            counts[Int(value)] += 1
            total += 1
        }
        guard total > 0 else { return .empty }
        var surprises = counts.map { surprise(count: $0, among: counts, total) }
        surprises[surprises.count - 1] = .nan
        return .codes(surprises)
    }

    private func surprise(count: Int, among counts: [Int], _ total: Int) -> Float {
        guard count > 0 else { return .nan }
        let rare = counts.reduce(0) { $1 <= count ? $0 + $1 : $0 }
        return Float(-DeterministicMath.log(Double(rare) / Double(total)))
    }

    /// Whether a column and the next are `x_sin` and `x_cos`.
    private func isAngle(_ column: Int) -> Bool {
        guard column + 1 < context.columns.count, column + 1 < rows.columns else { return false }
        let (sine, cosine) = (context.columns[column].name, context.columns[column + 1].name)
        return sine.hasSuffix("_sin") && cosine.hasSuffix("_cos") && sine.dropLast(4) == cosine.dropLast(4)
    }

    /// The different pairs, ascending; nil when there are too many or none.
    private func places(_ column: Int) -> [TailPlace]? {
        struct Pair: Hashable {
            let sine: Float
            let cosine: Float
        }
        var counts: [Pair: Int] = [:]
        for row in chosen {
            let first = row * rows.columns + column
            let pair = Pair(sine: rows.values[first], cosine: rows.values[first + 1])
            guard pair.sine.isFinite, pair.cosine.isFinite else { continue }
            counts[pair, default: 0] += 1
            if counts.count > TailColumn.maximumPlaces { return nil }
        }
        guard !counts.isEmpty else { return nil }
        let all = Array(counts.values)
        let total = all.reduce(0, +)
        return counts.map { pair, count in
            TailPlace(
                sine: pair.sine, cosine: pair.cosine, surprise: surprise(count: count, among: all, total))
        }.sorted { ($0.sine, $0.cosine) < ($1.sine, $1.cosine) }
    }

    /// Rows drawn without replacement, in ascending order, by selection sampling (Knuth, volume 2, algorithm S); all of
    /// them if they are few.
    private static func draw(_ count: Int, seed: UInt64) -> [Int] {
        guard count > maximumRows else { return Array(0..<count) }
        var generator = SeededGenerator(seed: seed)
        var chosen: [Int] = []
        chosen.reserveCapacity(maximumRows)
        for row in 0..<count where chosen.count < maximumRows {
            if generator.below(count - row) < maximumRows - chosen.count { chosen.append(row) }
        }
        return chosen
    }
}
