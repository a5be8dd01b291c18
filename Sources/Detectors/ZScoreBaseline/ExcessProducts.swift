import DetectorAPI

/// For each row the product of 1 + z^2 over its columns, z being a value's distance from the centre in deviations.
///
/// Column by column in their order, so that the bits are those of one row alone. A product waits for the one before it:
/// four rows are multiplied together, and what they are multiplied with is worked out before, all columns at a time.
struct ExcessProducts {
    /// Deviations that a value counts for that differs from a column which never varied.
    static let deviationsFromConstant = 16.0

    private static let rowsTogether = 4

    private let rows: FeatureRows
    private let centres: [Double]
    private let inverses: [Double]

    /// - Parameters:
    ///   - centres: Of each column; NaN: its values are as good as missing.
    ///   - inverses: 1 / deviation of each column, 0 for one that never varied.
    init(_ rows: FeatureRows, _ centres: [Double], _ inverses: [Double]) {
        self.rows = rows
        self.centres = centres
        self.inverses = inverses
    }

    /// Two columns: what the smallest vector unit works on at once, without a branch for each.
    typealias Pair = SIMD2<Double>

    /// 1 + z^2, at most 2^200; 1 for what is missing.
    ///
    /// - Parameter difference: From the centre; NaN: missing.
    @inline(__always)
    static func excess(_ difference: Pair, _ inverse: Pair) -> Pair {
        let product = difference * inverse
        let scaled = product.replacing(with: -product, where: product .< 0)
        let constant = Pair(repeating: deviationsFromConstant).replacing(with: 0, where: difference .== 0)
        let z = scaled.replacing(with: constant, where: inverse .== 0)
        let bounded = z.replacing(with: 0x1p100, where: z .> 0x1p100)
        return (1 + bounded * bounded).replacing(with: 1, where: difference .!= difference)
    }

    /// The same of one column.
    @inline(__always)
    static func excess(_ difference: Double, _ inverse: Double) -> Double {
        excess(Pair(difference, .nan), Pair(inverse, 0)).x
    }

    /// - Parameter body: Is given the row, how many of its values are missing, and the product of the others; beyond
    ///   2^1023 that is infinite.
    func visit(_ body: (_ row: Int, _ missing: Int, _ product: Double) -> Void) {
        let columns = rows.columns
        withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.rowsTogether * columns) { excesses in
            guard let first = excesses.baseAddress else { return }
            let (second, third, fourth) = (first + columns, first + 2 * columns, first + 3 * columns)
            var row = 0
            while row + Self.rowsTogether <= rows.count {
                let missing = (
                    write(row, into: first), write(row + 1, into: second), write(row + 2, into: third),
                    write(row + 3, into: fourth)
                )
                var (a, b, c, d) = (1.0, 1.0, 1.0, 1.0)
                for column in 0..<columns {
                    a *= first[column]
                    b *= second[column]
                    c *= third[column]
                    d *= fourth[column]
                }
                body(row, missing.0, a)
                body(row + 1, missing.1, b)
                body(row + 2, missing.2, c)
                body(row + 3, missing.3, d)
                row += Self.rowsTogether
            }
            while row < rows.count {
                let missing = write(row, into: first)
                var product = 1.0
                for column in 0..<columns { product *= first[column] }
                body(row, missing, product)
                row += 1
            }
        }
    }

    /// Writes what the columns of a row count for; a missing value does not count, which is 1.
    ///
    /// - Returns: How many are missing.
    @inline(__always)
    private func write(_ row: Int, into excesses: UnsafeMutablePointer<Double>) -> Int {
        centres.withUnsafeBufferPointer { centres in
            inverses.withUnsafeBufferPointer { inverses in
                let values = UnsafeBufferPointer(
                    rebasing: rows.values[row * rows.columns..<(row + 1) * rows.columns])
                var missing = SIMD2<Int64>()
                var column = 0
                while column &+ 1 < values.count {
                    let difference =
                        FeatureValue.finite(SIMD2(values[column], values[column &+ 1]))
                        - Pair(centres[column], centres[column &+ 1])
                    let excess = Self.excess(difference, Pair(inverses[column], inverses[column &+ 1]))
                    excesses[column] = excess.x
                    excesses[column &+ 1] = excess.y
                    missing &+= SIMD2<Int64>().replacing(with: 1, where: difference .!= difference)
                    column &+= 2
                }
                guard column < values.count else { return Int(missing.wrappedSum()) }
                let difference = FeatureValue.finite(values[column]) - centres[column]
                excesses[column] = Self.excess(difference, inverses[column])
                return Int(missing.wrappedSum()) + (difference.isNaN ? 1 : 0)
            }
        }
    }
}
