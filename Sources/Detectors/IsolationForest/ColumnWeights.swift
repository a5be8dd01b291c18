/// How likely each column is to be cut: in proportion to the square root of its kurtosis in a sample.
///
/// Rows that are unusual in a column show in its tails, so columns with heavy tails are worth more cuts than
/// those without. Weighing by kurtosis is an option of the isotree library; the root keeps one extreme value
/// from taking all cuts.
final class ColumnWeights {
    private let columns: Int
    /// At least 1 each, so that a column that is constant in this sample may be cut in another.
    private let weights: UnsafeMutablePointer<UInt32>
    /// The weights of the columns up to and with this one.
    private let ends: UnsafeMutablePointer<Int32>
    private let values: UnsafeMutablePointer<Double>

    init(columns: Int, sampleSize: Int) {
        self.columns = columns
        weights = .allocate(capacity: columns)
        ends = .allocate(capacity: columns)
        values = .allocate(capacity: sampleSize + 4)
    }

    deinit {
        weights.deallocate()
        ends.deallocate()
        values.deallocate()
    }

    /// Takes the weights from a tree's rows.
    func measure(_ sample: SampleKeys, rows: UnsafePointer<UInt16>, count: Int) {
        var end: Int32 = 0
        for column in 0..<columns {
            let keys = sample.column(column)
            var present = 0
            for place in 0..<count {
                let key = keys[Int(rows[place])]
                values[present] = Double(FeatureKey.value(ofSigned: key))
                present += key == SampleKeys.missing ? 0 : 1
            }
            weights[column] = weight(present)
            end += Int32(weights[column])
            ends[column] = end
        }
    }

    /// 256 times the square root of the kurtosis; that is at most the number of rows, so 16 bits are enough.
    private func weight(_ count: Int) -> UInt32 {
        // Four sums side by side: a fixed order, and four times as fast as one.
        let steps = (count + 3) / 4
        for place in count..<4 * steps { values[place] = 0 }
        let vectors = UnsafeRawPointer(values)
        let stride = MemoryLayout<SIMD4<Double>>.stride
        var sum = SIMD4<Double>(repeating: 0)
        for step in 0..<steps {
            sum += vectors.loadUnaligned(fromByteOffset: step &* stride, as: SIMD4<Double>.self)
        }
        let mean = (sum[0] + sum[1] + (sum[2] + sum[3])) / Double(max(1, count))
        for place in count..<4 * steps { values[place] = mean }
        var second = SIMD4<Double>(repeating: 0)
        var fourth = SIMD4<Double>(repeating: 0)
        for step in 0..<steps {
            let value = vectors.loadUnaligned(fromByteOffset: step &* stride, as: SIMD4<Double>.self)
            let difference = value - SIMD4(repeating: mean)
            let square = difference * difference
            second += square
            fourth += square * square
        }
        let squares = second[0] + second[1] + (second[2] + second[3])
        let fourths = fourth[0] + fourth[1] + (fourth[2] + fourth[3])
        guard squares * squares > 0 else { return 1 }
        let kurtosis = Double(count) * fourths / (squares * squares)
        return max(1, UInt32(min(65_535, 256 * kurtosis.squareRoot())))
    }

    /// For one tree; valid as long as this object.
    var picker: ColumnPicker {
        ColumnPicker(columns: columns, weights: UnsafePointer(weights), ends: UnsafePointer(ends))
    }
}

/// Draws columns by their weights. Pointers alone: a reference would be counted at every node.
struct ColumnPicker {
    fileprivate let columns: Int
    fileprivate let weights: UnsafePointer<UInt32>
    fileprivate let ends: UnsafePointer<Int32>

    /// One of all columns.
    @inline(__always)
    func pick(_ random: UInt32) -> Int {
        let total = UInt64(UInt32(bitPattern: ends[columns &- 1]))
        let place = Int32(truncatingIfNeeded: (UInt64(random) &* total) >> 32)
        var column = 0
        // 1 for each end that is not above the place: a sign bit, since a comparison becomes a branch, guessed wrong.
        for end in 0..<columns {
            column &+= Int(truncatingIfNeeded: UInt32(bitPattern: ends[end] &- place &- 1) &>> 31)
        }
        return column
    }

    /// One of the columns whose bit is set; there is one.
    func pick(_ random: UInt32, among bits: UnsafePointer<UInt64>, words: Int) -> Int {
        var total: UInt64 = 0
        visit(bits, words) { column in
            total += UInt64(weights[column])
            return true
        }
        var rest = (UInt64(random) &* total) >> 32
        var picked = 0
        visit(bits, words) { column in
            picked = column
            if rest < UInt64(weights[column]) { return false }
            rest -= UInt64(weights[column])
            return true
        }
        return picked
    }

    private func visit(_ bits: UnsafePointer<UInt64>, _ words: Int, _ body: (Int) -> Bool) {
        for word in 0..<words {
            var rest = bits[word]
            while rest != 0 {
                if !body(word * 64 + rest.trailingZeroBitCount) { return }
                rest &= rest &- 1
            }
        }
    }
}
