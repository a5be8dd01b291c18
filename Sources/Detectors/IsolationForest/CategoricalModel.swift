import DetectorAPI

/// A forest that sees categories: rows are widened by their orders, block by block, and scored by the forest inside.
final class CategoricalModel: Explaining, Sizing {
    private static let rowsPerBlock = 128

    let orders: CategoryOrders
    let forest: any Explaining & Sizing

    init(_ orders: CategoryOrders, _ forest: any Explaining & Sizing) {
        self.orders = orders
        self.forest = forest
    }

    /// - Throws: `DetectorError.invalidArtifact`.
    init(decoding artifact: ArtifactBytes, walk: ForestWalk = .best) throws(DetectorError) {
        let (orders, range) = try CategoryOrders.read(artifact.bytes)
        let inside = artifact.slice(range)
        let forest: any Explaining & Sizing =
            HyperplanePayload.isOne(inside.bytes)
            ? try HyperplaneModel(decoding: inside) : try ForestModel(decoding: inside, walk: walk)
        guard forest.columns == orders.wideColumns else {
            throw .invalidArtifact("a forest of \(forest.columns) columns for rows of \(orders.wideColumns)")
        }
        self.orders = orders
        self.forest = forest
    }

    var columns: Int { orders.columns }
    /// The orders are small beside the forest: a few numbers for each category.
    var sizeInMemory: Int { forest.sizeInMemory + 64 * orders.wideColumns }

    var expectedScore: Double { forest.expectedScore }

    func encode() -> [UInt8] { orders.artifact(with: forest.encode()) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try rows.check(columns: columns, places: scores.count)
        try visitWide(rows) { range, wide in
            try forest.score(wide, into: UnsafeMutableBufferPointer(rebasing: scores[range]))
        }
    }

    /// A categorical column gets what its orders are credited with.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try rows.check(columns: columns, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        let width = orders.wideColumns
        let origins = (0..<width).map(orders.origin)
        contributions.update(repeating: 0)
        let block = max(1, min(rows.count, Self.rowsPerBlock))
        try withUnsafeTemporaryAllocation(of: Double.self, capacity: block * width) { credits in
            try visitWide(rows) { range, wide in
                try forest.explain(
                    wide, into: UnsafeMutableBufferPointer(rebasing: scores[range]),
                    contributions: UnsafeMutableBufferPointer(rebasing: credits[..<(wide.count * width)]))
                for row in 0..<wide.count {
                    let target = (range.lowerBound + row) * columns
                    for column in 0..<width {
                        contributions[target + origins[column]] += credits[row * width + column]
                    }
                }
            }
        }
    }

    private func visitWide(_ rows: FeatureRows, _ body: (Range<Int>, FeatureRows) throws -> Void) throws {
        if rows.count == 0 { return }
        let width = orders.wideColumns
        let block = min(rows.count, Self.rowsPerBlock)
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: block * width) { wide in
            let target = wide.baseAddress.unsafelyUnwrapped
            let source = rows.values.baseAddress.unsafelyUnwrapped
            target.initialize(repeating: 0, count: block * width)
            for first in stride(from: 0, to: rows.count, by: block) {
                let range = first..<min(first + block, rows.count)
                for row in range {
                    orders.write(source + row * columns, to: target + (row - first) * width)
                }
                let values = UnsafeBufferPointer(rebasing: wide[..<(range.count * width)])
                try body(range, FeatureRows(values, columns: width))
            }
        }
    }
}

/// The rows to grow trees from, as the trees see them.
struct SourceRows {
    let rows: FeatureRows
    let orders: CategoryOrders?

    var count: Int { rows.count }
    var columns: Int { orders?.wideColumns ?? rows.columns }

    /// Copies a row of `columns` values.
    @inline(__always)
    func copy(_ row: Int, to target: UnsafeMutablePointer<Float>) {
        let source = rows.values.baseAddress.unsafelyUnwrapped + row &* rows.columns
        if let orders {
            orders.write(source, to: target)
        } else {
            target.update(from: source, count: rows.columns)
        }
    }

    /// Some rows, one after another.
    func copies(of chosen: [Int]) -> [Float] {
        [Float](unsafeUninitializedCapacity: chosen.count * columns) { target, count in
            for (place, row) in chosen.enumerated() {
                copy(row, to: target.baseAddress.unsafelyUnwrapped + place * columns)
            }
            count = chosen.count * columns
        }
    }
}
