/// Counts of values by their 16 highest bits (sign, exponent, 7 bits of mantissa), from which quantiles are read.
///
/// Bounded (65,536 bins, in pages of 128 that exist once a value falls into them), the same in whatever order values
/// come, and merged by adding. A bin keeps its least and greatest value, so that a quantile is off by less than 1/128
/// of its value, and by nothing where one value fills the bin: 0, 1, counts, round amounts.
struct QuantileSketch: Sendable {
    private struct Bin: Sendable {
        var count: UInt64 = 0
        var least = Float.infinity
        var greatest = -Float.infinity
    }

    private static let binsPerPage = 128
    private static let pages = 512

    /// For each page of bins, ascending by value, where it starts in `bins`; -1: no value fell into it.
    private var starts = [Int32](repeating: -1, count: pages)
    private var bins: [Bin] = []
    private var total: UInt64 = 0

    /// - Parameter value: Not NaN.
    mutating func add(_ value: Float) {
        // Ascends with the value: negative numbers have all their bits flipped, the others the sign.
        let bits = value.bitPattern
        let ordered = bits >> 31 == 1 ? ~bits : bits | 1 << 31
        let start = pageStart(Int(ordered >> 23))
        let bin = start + Int(ordered >> 16) & (Self.binsPerPage - 1)
        bins[bin].count += 1
        bins[bin].least = min(bins[bin].least, value)
        bins[bin].greatest = max(bins[bin].greatest, value)
        total += 1
    }

    mutating func merge(_ other: QuantileSketch) {
        for page in 0..<Self.pages where other.starts[page] >= 0 {
            let start = pageStart(page)
            for offset in 0..<Self.binsPerPage {
                let bin = other.bins[Int(other.starts[page]) + offset]
                bins[start + offset].count += bin.count
                bins[start + offset].least = min(bins[start + offset].least, bin.least)
                bins[start + offset].greatest = max(bins[start + offset].greatest, bin.greatest)
            }
        }
        total += other.total
    }

    private mutating func pageStart(_ page: Int) -> Int {
        if starts[page] < 0 {
            starts[page] = Int32(bins.count)
            bins.append(contentsOf: repeatElement(Bin(), count: Self.binsPerPage))
        }
        return Int(starts[page])
    }

    /// Values at the given shares of all values, shares ascending within 0...1; nothing when there are no values.
    func quantiles(_ shares: [Double]) -> [Double] {
        guard total > 0 else { return [] }
        var found: [Double] = []
        var below = 0.0
        for start in starts where start >= 0 {
            for bin in bins[Int(start)..<Int(start) + Self.binsPerPage] where bin.count > 0 {
                let count = Double(bin.count)
                // A share's rank, from 0 to total - 1, may lie between two values; the lower one's bin answers.
                while found.count < shares.count {
                    let rank = shares[found.count] * Double(total - 1) - below
                    guard rank < count else { break }
                    let inside = count > 1 ? min(rank / (count - 1), 1) : 0
                    found.append(Double(bin.least) + (Double(bin.greatest) - Double(bin.least)) * inside)
                }
                below += count
            }
        }
        return found
    }
}
