import CForestKernels
import DetectorAPI

extension BoostedParts {
    /// Writes the keys of some rows: those of a key row side by side, `stride` apart from the next one's.
    func writeKeys(
        _ rows: FeatureRows, _ range: Range<Int>, to keys: UnsafeMutablePointer<Int32>, stride: Int
    ) {
        let source = rows.values.baseAddress.unsafelyUnwrapped + range.lowerBound &* columns
        for place in 0..<keyRowCount {
            let row = keyRows[place]
            let target = keys + place &* stride
            var values = source + Int(row.column)
            if row.kind == KeyRow.Kind.place.rawValue {
                for lane in 0..<range.count {
                    target[lane] = self.place(values.pointee, row)
                    values += columns
                }
            } else {
                let missing = (KeyRow.Kind(rawValue: row.kind) ?? .missingAsZero).missing
                for lane in 0..<range.count {
                    let value = values.pointee
                    target[lane] = value.isNaN ? missing : KeyRow.key(value)
                    values += columns
                }
            }
        }
    }

    @inline(__always)
    private func place(_ value: Float, _ row: KeyRow) -> Int32 {
        guard let code = KeyRow.code(value, below: Int(row.cardinality)) else { return Int32(KeyRow.noPlace) }
        return Int32(places[Int(row.firstPlace) &+ code])
    }

    /// Walks one row down all trees.
    ///
    /// - Parameter step: Told each node on the way, the column that it asks, the node that comes next, negative where that is
    ///   a leaf, and the leaf then. Nodes and leaves by their places among all.
    /// - Returns: The sum of the leaves.
    @inline(__always)
    func walk(_ rows: FeatureRows, row: Int, _ step: (Int, Int, Int, Int) -> Void) -> Int64 {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: keyRowCount + 1) { keys in
            let keys = keys.baseAddress.unsafelyUnwrapped
            writeKeys(rows, row..<row + 1, to: keys, stride: 1)
            var sum: Int64 = 0
            for tree in 0..<trees {
                let start = Int(starts[tree])
                let firstLeaf = start &+ tree
                var node = start
                var leaf = 0
                var count = Int(starts[tree &+ 1]) &- start &+ 1
                while count > 1 {
                    let this = nodes[node]
                    // The leaves on the left are the first ones from here.
                    let left = (~(this.mask >> UInt32(truncatingIfNeeded: leaf))).trailingZeroBitCount
                    let asked = node
                    let (right, column) = goesRight(this, keys, tree)
                    if right {
                        leaf &+= left
                        node &+= left
                        count &-= left
                    } else {
                        node &+= 1
                        count = left
                    }
                    step(asked, column, count > 1 ? node : -1, firstLeaf &+ leaf)
                }
                sum &+= Int64(leaves[firstLeaf &+ leaf])
            }
            return sum
        }
    }

    @inline(__always)
    private func goesRight(
        _ node: boosted_node, _ keys: UnsafePointer<Int32>, _ tree: Int
    ) -> (right: Bool, column: Int) {
        let row = Int(node.row)
        if row < keyRowCount { return (keys[row] > node.threshold, Int(keyRows[row].column)) }
        let set = sets + (Int(setStarts[tree]) &+ row &- keyRowCount)
        let place = UInt32(bitPattern: keys[Int(set.pointee.row)])
        let words = UnsafeRawPointer(set).advanced(by: 4).assumingMemoryBound(to: UInt32.self)
        let right: Int32 = words[Int(place >> 5)] >> (place & 31) & 1 == 0 ? 1 : 0
        return (right > node.threshold, Int(keyRows[Int(set.pointee.row)].column))
    }

    /// For each node the mean of the training rows' leaves below it.
    func expectations() -> [Double] {
        var expectations = [Double](repeating: 0, count: Int(starts[trees]))
        for tree in 0..<trees {
            let start = Int(starts[tree])
            let count = Int(starts[tree + 1]) - start + 1
            let sums = LeafSums(self, tree)
            // Of each node that is still to come the leaves below it, the next one's last.
            var open = [(first: 0, count: count)]
            for node in start..<start + count - 1 {
                while let last = open.last, last.count == 1 { open.removeLast() }
                guard let (first, below) = open.popLast() else { break }
                let left = nodes[node].mask.nonzeroBitCount
                expectations[node] = sums.mean(first..<first + below)
                open.append((first + left, below - left))
                open.append((first, left))
            }
        }
        return expectations
    }

    /// The mean of all training rows' leaves.
    func expectation(_ tree: Int) -> Double {
        LeafSums(self, tree).mean(0..<Int(starts[tree + 1]) - Int(starts[tree]) + 1)
    }
}

/// Sums over the first leaves of a tree, of training rows and of their leaves: exact, since all are whole numbers.
private struct LeafSums {
    private var rows: [Int64] = [0]
    private var values: [Double] = [0]

    init(_ parts: BoostedParts, _ tree: Int) {
        let first = Int(parts.starts[tree]) + tree
        for leaf in first..<Int(parts.starts[tree + 1]) + tree + 1 {
            rows.append(rows[rows.count - 1] + Int64(parts.covers[leaf]))
            values.append(values[values.count - 1] + Double(parts.covers[leaf]) * Double(parts.leaves[leaf]))
        }
    }

    func mean(_ leaves: Range<Int>) -> Double {
        (values[leaves.upperBound] - values[leaves.lowerBound])
            / Double(rows[leaves.upperBound] - rows[leaves.lowerBound])
    }
}
