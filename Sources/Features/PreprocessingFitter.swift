import Transactions

/// Fits a `Preprocessing` to rows that it sees once, in bounded memory. A value; one thread at a time.
///
/// The same rows in the same order give the same result on every machine. In another order, or merged from parts,
/// the numbers may differ in the last bits of means and deviations.
public struct PreprocessingFitter: Sendable {
    public struct Options: Sendable, Hashable {
        public var scaling: Preprocessing.Scaling
        /// Names of the numeric features to keep; nil: all.
        public let numericFeatures: [String]?
        /// Names of the categorical features to keep; nil: all.
        public let categoricalFeatures: [String]?
        /// The same for each feature of the schema: of a million users none has to look for names.
        fileprivate let keepsNumeric: [Bool]
        fileprivate let keepsCategorical: [Bool]
        /// Categories rarer than this share of the rows that have one are pooled; 0...1, default 0.01.
        public var minimumShare: Double
        /// At most so many categories of a feature have columns, or codes, of their own; 0...255, default 32.
        public var maximumCategories: Int
        public var encoding: Preprocessing.Encoding
        /// See `Preprocessing.coldBelow`.
        public var coldBelow: Int?

        public init(
            scaling: Preprocessing.Scaling = .standard, numericFeatures: [String]? = nil,
            categoricalFeatures: [String]? = nil, minimumShare: Double = 0.01, maximumCategories: Int = 32,
            encoding: Preprocessing.Encoding = .oneHot, coldBelow: Int? = nil
        ) {
            self.encoding = encoding
            self.coldBelow = coldBelow
            self.scaling = scaling
            self.numericFeatures = numericFeatures
            self.categoricalFeatures = categoricalFeatures
            keepsNumeric = FeatureSchema.numeric.map { numericFeatures?.contains($0.name) ?? true }
            keepsCategorical = FeatureSchema.categorical.map {
                categoricalFeatures?.contains($0.feature.name) ?? true
            }
            self.minimumShare = minimumShare
            self.maximumCategories = maximumCategories
        }
    }

    public let options: Options
    public private(set) var rowCount = 0
    private var moments: [Moments]
    private var sketches: [QuantileSketch]
    private var counters: [CategoryCounter]

    public init(options: Options = Options()) {
        self.options = options
        let features = FeatureSchema.numeric.count
        moments = Array(repeating: Moments(), count: features)
        sketches = Array(repeating: QuantileSketch(), count: features)
        counters = Array(repeating: CategoryCounter(), count: FeatureSchema.categorical.count)
    }

    /// Sees a row: its numeric features, and its categorical ones in the batch.
    ///
    /// - Parameter numeric: `UserWindow.featureCount` features; NaN is missing.
    public mutating func add(numeric: UnsafeBufferPointer<Float>, batch: TransactionBatch, row: Int) {
        add(numeric: numeric)
        for (index, (_, field)) in FeatureSchema.categorical.enumerated() {
            let hash = batch.hash(field, row)
            if hash != 0 { counters[index].add(hash) { batch.text(field, row) ?? "" } }
        }
    }

    /// Sees a row.
    ///
    /// - Parameters:
    ///   - numeric: `UserWindow.featureCount` features; NaN is missing.
    ///   - categories: One for each of `FeatureSchema.categorical`; nil is missing.
    public mutating func add(numeric: UnsafeBufferPointer<Float>, categories: [String?]) {
        precondition(categories.count == counters.count, "a row has one category for each feature")
        add(numeric: numeric)
        for (index, category) in categories.enumerated() {
            guard let category else { continue }
            counters[index].add(TextHash.hash(category)) { category }
        }
    }

    /// Sees rows whose categories are known by their hashes.
    ///
    /// - Parameters:
    ///   - numeric: `UserWindow.featureCount` features a row, row-major; NaN is missing.
    ///   - categories: A hash for each of `FeatureSchema.categorical` a row, row-major; 0 is missing.
    ///   - text: Asked for the text of a hash that is met for the first time; nil: it counts as missing.
    public mutating func add(
        numeric: UnsafeBufferPointer<Float>, categories: UnsafeBufferPointer<UInt64>,
        text: (UInt64) -> String?
    ) {
        let width = UserWindow.featureCount
        let rows = numeric.count / width
        precondition(
            numeric.count == rows * width && categories.count == rows * counters.count,
            "a row has all numeric features, and one category for each feature")
        rowCount += rows
        addMoments(numeric)
        for index in sketches.indices { sketches[index].add(numeric, from: index, by: width) }
        addCategories(categories, text)
    }

    private mutating func addMoments(_ numeric: UnsafeBufferPointer<Float>) {
        let width = UserWindow.featureCount
        for first in stride(from: 0, to: moments.count, by: Self.columnsTogether) {
            if first + Self.columnsTogether <= moments.count {
                addFour(numeric, width: width, first: first)
            } else {
                for index in first..<moments.count {
                    for place in stride(from: index, to: numeric.count, by: width) where !numeric[place].isNaN
                    {
                        moments[index].add(Double(numeric[place]))
                    }
                }
            }
        }
    }

    private mutating func addCategories(
        _ categories: UnsafeBufferPointer<UInt64>, _ text: (UInt64) -> String?
    ) {
        for index in counters.indices {
            var counter = CategoryCounter()
            swap(&counter, &counters[index])
            for place in stride(from: index, to: categories.count, by: counters.count)
            where categories[place] != 0 {
                counter.add(categories[place]) { text(categories[place]) }
            }
            swap(&counter, &counters[index])
        }
    }

    /// Columns whose moments are worked out at once: each waits for a division a value, of its own alone.
    private static let columnsTogether = 4

    /// Each column in the order of the rows, so that its bits are the same as of it alone.
    private mutating func addFour(_ numeric: UnsafeBufferPointer<Float>, width: Int, first: Int) {
        var (a, b) = (moments[first], moments[first + 1])
        var (c, d) = (moments[first + 2], moments[first + 3])
        for place in stride(from: first, to: numeric.count, by: width) {
            if !numeric[place].isNaN { a.add(Double(numeric[place])) }
            if !numeric[place + 1].isNaN { b.add(Double(numeric[place + 1])) }
            if !numeric[place + 2].isNaN { c.add(Double(numeric[place + 2])) }
            if !numeric[place + 3].isNaN { d.add(Double(numeric[place + 3])) }
        }
        (moments[first], moments[first + 1]) = (a, b)
        (moments[first + 2], moments[first + 3]) = (c, d)
    }

    private mutating func add(numeric: UnsafeBufferPointer<Float>) {
        precondition(numeric.count >= moments.count, "a row has all numeric features")
        rowCount += 1
        for index in moments.indices {
            let value = numeric[index]
            guard !value.isNaN else { continue }
            moments[index].add(Double(value))
            sketches[index].add(value)
        }
    }

    /// Adds what another fitter with the same options has seen.
    public mutating func merge(_ other: PreprocessingFitter) {
        precondition(options == other.options, "fitters with different options cannot be merged")
        rowCount += other.rowCount
        for index in moments.indices { moments[index].merge(other.moments[index]) }
        for index in sketches.indices { sketches[index].merge(other.sketches[index]) }
        for index in counters.indices { counters[index].merge(other.counters[index]) }
    }

    /// Fits to rows that are all at once, as `add` sees them: what a fitter gives, to the bit. Of few rows, a user's say, no
    /// copy of the values is kept.
    public static func fit(
        numeric: UnsafeBufferPointer<Float>, categories: UnsafeBufferPointer<UInt64>, options: Options,
        text: (UInt64) -> String?
    ) -> Preprocessing {
        var fitter = PreprocessingFitter(options: options)
        let width = UserWindow.featureCount
        guard numeric.count <= QuantileSketch.fewValues * width else {
            fitter.add(numeric: numeric, categories: categories, text: text)
            return fitter.finish()
        }
        fitter.addMoments(numeric)
        fitter.addCategories(categories, text)
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: QuantileSketch.fewValues) { values in
            fitter.finish { index, share in
                QuantileSketch.quantile(share, ofColumn: index, of: numeric, width: width, using: values)
            }
        }
    }

    /// What was fitted.
    ///
    /// Features without a single value in all rows are left out: nothing could be said of one that came later. A
    /// number that never varied keeps its column, with scale 1.
    public func finish() -> Preprocessing {
        finish { index, share in sketches[index].quantiles([share])[0] }
    }

    /// - Parameter quantile: Asked for those of columns with a value, at a share from 0 to 1.
    private func finish(_ quantile: (_ index: Int, _ share: Double) -> Double) -> Preprocessing {
        var numeric: [Preprocessing.NumericColumn] = []
        numeric.reserveCapacity(moments.count)
        var unseen: [String] = []
        for (index, feature) in FeatureSchema.numeric.enumerated()
        where moments[index].count > 0 && options.keepsNumeric[index] {
            numeric.append(column(feature.name, index) { quantile(index, $0) })
        }
        var categorical: [Preprocessing.CategoricalColumns] = []
        for (index, (feature, _)) in FeatureSchema.categorical.enumerated()
        where counters[index].total > 0 && options.keepsCategorical[index] {
            let counts = counters[index].counts()
            let columns = columns(feature.name, counts, total: counters[index].total)
            categorical.append(columns)
            if columns.usual != Preprocessing.pooled, isPoolRare(columns, counts, counters[index].total) {
                unseen.append(feature.name)
            }
        }
        return Preprocessing(
            scaling: options.scaling, numeric: numeric, categorical: categorical, encoding: options.encoding,
            coldBelow: options.coldBelow, unseenAsUsual: options.coldBelow == nil ? nil : unseen)
    }

    private func column(
        _ name: String, _ index: Int, _ quantile: (_ share: Double) -> Double
    ) -> Preprocessing.NumericColumn {
        let moments = moments[index]
        var centre = 0.0
        var scale = 1.0
        let median: Double
        switch options.scaling {
        case .none: median = quantile(0.5)
        case .standard:
            median = quantile(0.5)
            centre = moments.mean
            scale = moments.deviation
        case .robust:
            median = quantile(0.5)
            centre = median
            scale = quantile(0.75) - quantile(0.25)
            // More than half of the values are one: the deviation is what is left to measure in.
            if !(scale > 0) { scale = moments.deviation }
        }
        // Below a `Float`'s resolution of the centre, differences are rounding.
        if !(scale > max(centre.magnitude * 1e-7, 1e-30)) { scale = 1 }
        return Preprocessing.NumericColumn(feature: name, centre: centre, scale: scale, usual: median)
    }

    private func isPoolRare(
        _ columns: Preprocessing.CategoricalColumns, _ counts: [CategoryCounter.Count], _ total: UInt64
    ) -> Bool {
        let kept = counts.reduce(0) { columns.categories.contains($1.text) ? $0 + $1.count : $0 }
        return Double(total - min(kept, total)) < options.minimumShare * Double(total)
    }

    private func columns(
        _ name: String, _ counts: [CategoryCounter.Count], total: UInt64
    ) -> Preprocessing.CategoricalColumns {
        // Stable sorting keeps equally common ones in the order of their bytes.
        let common =
            counts
            .filter {
                $0.text != Preprocessing.pooled && Double($0.count) >= options.minimumShare * Double(total)
            }
            .sorted { $0.count > $1.count }
            .prefix(min(max(options.maximumCategories, 0), Preprocessing.maximumCategories))
        let kept = common.reduce(0) { $0 + $1.count }
        var usual = Preprocessing.pooled
        if let first = common.first, first.count >= total - kept { usual = first.text }
        let categories = common.map(\.text).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return Preprocessing.CategoricalColumns(feature: name, categories: categories, usual: usual)
    }
}

extension Preprocessing {
    /// Fits to rows that are at hand.
    ///
    /// - Parameters:
    ///   - numeric: `batch.count x UserWindow.featureCount` features, row-major; NaN is missing.
    ///   - batch: The rows' categories.
    public static func fit(
        numeric: UnsafeBufferPointer<Float>, batch: TransactionBatch,
        options: PreprocessingFitter.Options = PreprocessingFitter.Options()
    ) -> Preprocessing {
        precondition(numeric.count == batch.count * UserWindow.featureCount, "rows and batch differ")
        var fitter = PreprocessingFitter(options: options)
        for row in 0..<batch.count {
            let features = numeric[row * UserWindow.featureCount..<(row + 1) * UserWindow.featureCount]
            fitter.add(numeric: UnsafeBufferPointer(rebasing: features), batch: batch, row: row)
        }
        return fitter.finish()
    }
}

/// Count, mean and spread of a stream of numbers: Welford 1962, and Chan, Golub and LeVeque 1979 for merging.
private struct Moments: Sendable {
    private(set) var count = 0.0
    private(set) var mean = 0.0
    private var squares = 0.0

    mutating func add(_ value: Double) {
        count += 1
        let difference = value - mean
        mean += difference / count
        squares += difference * (value - mean)
    }

    mutating func merge(_ other: Moments) {
        guard other.count > 0 else { return }
        let total = count + other.count
        let difference = other.mean - mean
        mean += difference * (other.count / total)
        squares += other.squares + difference * difference * (count * other.count / total)
        count = total
    }

    /// Of the sample; 0 for fewer than two values.
    var deviation: Double { count > 1 ? (squares / (count - 1)).squareRoot() : 0 }
}
