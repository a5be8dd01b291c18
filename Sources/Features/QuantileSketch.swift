import Exact

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

        /// - Parameter rank: From 0, among the values in the bin.
        func value(atRank rank: Double) -> Double {
            let inside = count > 1 ? min(rank / Double(count - 1), 1) : 0
            return Double(least) + (Double(greatest) - Double(least)) * inside
        }
    }

    private static let binsPerPage = 128
    private static let pages = 512
    /// So many values are kept as they are: bins for a user's few hundred take longer to make than to fill.
    static let fewValues = 1_024

    /// Values by their order; empty once there are bins.
    private var few: [UInt32] = []
    /// For each page of bins, ascending by value, where it starts in `bins`; -1: no value fell into it. Empty while
    /// there are few values.
    private var starts: [Int32] = []
    private var bins: [Bin] = []
    private var total: UInt64 = 0

    /// - Parameter value: Not NaN.
    @inline(__always)
    mutating func add(_ value: Float) { add(ordered: Self.ordered(value)) }

    /// Adds every `width`th value from `first` on, but for NaN.
    mutating func add(_ values: UnsafeBufferPointer<Float>, from first: Int, by width: Int) {
        let rows = first < values.count ? (values.count - first + width - 1) / width : 0
        guard starts.isEmpty, few.count + rows <= Self.fewValues else {
            for place in stride(from: first, to: values.count, by: width) where !values[place].isNaN {
                add(values[place])
            }
            return
        }
        few.reserveCapacity(few.count + rows)
        for place in stride(from: first, to: values.count, by: width) where !values[place].isNaN {
            few.append(Self.ordered(values[place]))
        }
        total = UInt64(few.count)
    }

    /// Ascends with the value: negative numbers have all their bits flipped, the others the sign.
    @inline(__always)
    private static func ordered(_ value: Float) -> UInt32 {
        let bits = value.bitPattern
        return bits >> 31 == 1 ? ~bits : bits | 1 << 31
    }

    @inline(__always)
    private mutating func add(ordered: UInt32) {
        if starts.isEmpty {
            if few.count < Self.fewValues {
                few.append(ordered)
                total += 1
                return
            }
            makeBins()
        }
        addToBin(ordered)
        total += 1
    }

    private mutating func makeBins() {
        starts = [Int32](repeating: -1, count: Self.pages)
        for ordered in few { addToBin(ordered) }
        few = []
    }

    private mutating func addToBin(_ ordered: UInt32) {
        let value = Self.value(ordered)
        let start = pageStart(Int(ordered >> 23))
        let bin = start + Int(ordered >> 16) & (Self.binsPerPage - 1)
        bins[bin].count += 1
        bins[bin].least = min(bins[bin].least, value)
        bins[bin].greatest = max(bins[bin].greatest, value)
    }

    private static func value(_ ordered: UInt32) -> Float {
        Float(bitPattern: ordered >> 31 == 1 ? ordered & ~(1 << 31) : ~ordered)
    }

    mutating func merge(_ other: QuantileSketch) {
        guard !other.starts.isEmpty else {
            for ordered in other.few { add(ordered: ordered) }
            return
        }
        if starts.isEmpty { makeBins() }
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
        if starts.isEmpty { return quantilesOfFew(shares) }
        var found: [Double] = []
        var below = 0.0
        for start in starts where start >= 0 {
            for bin in bins[Int(start)..<Int(start) + Self.binsPerPage] where bin.count > 0 {
                // A share's rank, from 0 to total - 1, may lie between two values; the lower one's bin answers.
                while found.count < shares.count {
                    let rank = shares[found.count] * Double(total - 1) - below
                    guard rank < Double(bin.count) else { break }
                    found.append(bin.value(atRank: rank))
                }
                below += Double(bin.count)
            }
        }
        return found
    }

    /// The same as of bins, to the bit.
    private func quantilesOfFew(_ shares: [Double]) -> [Double] {
        var values = few
        return values.withUnsafeMutableBufferPointer { values in
            shares.map { Self.quantile($0, of: values) }
        }
    }

    /// - Parameter values: By their order, one at least. They are moved about.
    private static func quantile(_ share: Double, of values: UnsafeMutableBufferPointer<UInt32>) -> Double {
        let place = share * Double(values.count - 1)
        let number = values.moveIntoPlace(Int(place)) >> 16
        var bin = Bin()
        var below = 0
        for ordered in values {
            if ordered >> 16 < number { below += 1 }
            guard ordered >> 16 == number else { continue }
            bin.count += 1
            bin.least = min(bin.least, Self.value(ordered))
            bin.greatest = max(bin.greatest, Self.value(ordered))
        }
        return bin.value(atRank: place - Double(below))
    }

    /// The same as of a sketch that has seen every `width`th value from `column` on, to the bit.
    ///
    /// - Parameters:
    ///   - numeric: At most `fewValues` values of the column, not all of them NaN.
    ///   - memory: `fewValues` places to work in.
    static func quantile(
        _ share: Double, ofColumn column: Int, of numeric: UnsafeBufferPointer<Float>, width: Int,
        using memory: UnsafeMutableBufferPointer<UInt32>
    ) -> Double {
        var count = 0
        for place in stride(from: column, to: numeric.count, by: width) where !numeric[place].isNaN {
            memory[count] = ordered(numeric[place])
            count += 1
        }
        return quantile(share, of: UnsafeMutableBufferPointer(rebasing: memory[..<count]))
    }
}
