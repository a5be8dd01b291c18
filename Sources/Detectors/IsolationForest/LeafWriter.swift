/// Owns the leaves of a forest while it grows, and the numbers of their kinds: combinations of depth and training rows.
final class LeafTable {
    /// `leavesPerTree` numbers of kinds for each tree.
    let leaves: UnsafeMutablePointer<UInt32>
    private let shape: ForestShape
    private let sampleSize: Int
    /// For each combination: its number plus 1, 0 before its first leaf.
    private let numbers: UnsafeMutablePointer<UInt32>
    /// For each combination: how many leaves have it.
    private let seen: UnsafeMutablePointer<Int>
    /// The combinations by their numbers, and how many there are.
    private let kinds: UnsafeMutablePointer<ForestPayload.LeafOrigin>
    private let kindCount: UnsafeMutablePointer<Int>

    init(_ shape: ForestShape, sampleSize: Int) {
        self.shape = shape
        self.sampleSize = sampleSize
        let combinations = (shape.levels + 1) * sampleSize
        leaves = .allocate(capacity: shape.trees * shape.leavesPerTree)
        numbers = .allocate(capacity: combinations)
        numbers.initialize(repeating: 0, count: combinations)
        seen = .allocate(capacity: combinations)
        seen.initialize(repeating: 0, count: combinations)
        kinds = .allocate(capacity: combinations)
        kindCount = .allocate(capacity: 1)
        kindCount.initialize(to: 0)
    }

    deinit {
        leaves.deallocate()
        numbers.deallocate()
        seen.deallocate()
        kinds.deallocate()
        kindCount.deallocate()
    }

    /// Where the leaves of one tree go; valid as long as this table.
    func writer(tree: Int) -> LeafWriter {
        LeafWriter(
            levels: shape.levels, sampleSize: sampleSize, tree: leaves + tree * shape.leavesPerTree,
            numbers: numbers, seen: seen, kinds: kinds, kindCount: kindCount)
    }

    var origins: [ForestPayload.LeafOrigin] {
        Array(UnsafeBufferPointer(start: kinds, count: kindCount.pointee))
    }

    var paths: [Int64] {
        origins.map { PathLength.fixed(depth: Int($0.depth), count: Int($0.count)) }
    }

    /// Leaves written, without their copies.
    var leafCount: Int { origins.reduce(0) { $0 + leaves(of: $1) } }

    /// The rows' path lengths, summed over all trees, for each row of the sample on average.
    func expectedSum() -> Double {
        var sum = 0.0
        for (origin, path) in zip(origins, paths) {
            sum += Double(leaves(of: origin) * Int(origin.count)) * (Double(path) * 0x1p-32)
        }
        return sum / Double(sampleSize)
    }

    private func leaves(of origin: ForestPayload.LeafOrigin) -> Int {
        seen[Int(origin.depth) * sampleSize + Int(origin.count) - 1]
    }
}

/// Writes the leaves of one tree. Pointers alone: a reference would be counted at every leaf.
struct LeafWriter {
    fileprivate let levels: Int
    fileprivate let sampleSize: Int
    fileprivate let tree: UnsafeMutablePointer<UInt32>
    fileprivate let numbers: UnsafeMutablePointer<UInt32>
    fileprivate let seen: UnsafeMutablePointer<Int>
    fileprivate let kinds: UnsafeMutablePointer<ForestPayload.LeafOrigin>
    fileprivate let kindCount: UnsafeMutablePointer<Int>

    /// Writes a leaf: a copy at every end below its place.
    @inline(__always)
    func write(depth: Int, position: Int, count: Int) {
        let place = depth &* sampleSize &+ count &- 1
        fill(depth: depth, position: position, kind(place, depth: depth, count: count))
        seen[place] &+= 1
    }

    /// Writes a leaf of the last level.
    @inline(__always)
    func writeLast(position: Int, count: Int) {
        let place = levels &* sampleSize &+ count &- 1
        tree[position] = kind(place, depth: levels, count: count)
        seen[place] &+= 1
    }

    /// Writes leaves of one row each.
    func writeSingles(depth: Int, positions: UnsafePointer<UInt32>, count: Int) {
        if count == 0 { return }
        let place = depth &* sampleSize
        let kind = kind(place, depth: depth, count: 1)
        for index in 0..<count { fill(depth: depth, position: Int(positions[index]), kind) }
        seen[place] &+= count
    }

    @inline(__always)
    private func kind(_ place: Int, depth: Int, count: Int) -> UInt32 {
        if numbers[place] == 0 { addKind(depth: depth, count: count, place) }
        return numbers[place] &- 1
    }

    @inline(never)
    private func addKind(depth: Int, count: Int, _ place: Int) {
        kinds[kindCount.pointee] = ForestPayload.LeafOrigin(count: UInt32(count), depth: UInt32(depth))
        kindCount.pointee += 1
        numbers[place] = UInt32(kindCount.pointee)
    }

    @inline(__always)
    private func fill(depth: Int, position: Int, _ kind: UInt32) {
        let below = levels &- depth
        let target = tree + position &<< below
        if below < 2 {
            target[0] = kind
            if below == 1 { target[1] = kind }
            return
        }
        let four = SIMD4(repeating: kind)
        for part in 0..<1 &<< (below &- 2) {
            UnsafeMutableRawPointer(target + 4 &* part).storeBytes(of: four, as: SIMD4<UInt32>.self)
        }
    }
}
