/// Writes the leaves of one tree after another, and numbers their combinations of depth and training rows.
final class LeafWriter {
    private(set) var paths: [Int64] = []
    private(set) var origins: [ForestPayload.LeafOrigin] = []
    /// `leavesPerTree` numbers for each tree.
    let leaves: UnsafeMutablePointer<UInt32>
    private let shape: ForestShape
    private let sampleSize: Int
    /// The number of a combination, plus 1; 0 before its first leaf.
    private let numbers: UnsafeMutablePointer<UInt32>
    /// How many leaves have each combination.
    private let seen: UnsafeMutablePointer<Int>
    private var tree: UnsafeMutablePointer<UInt32>

    init(_ shape: ForestShape, sampleSize: Int) {
        self.shape = shape
        self.sampleSize = sampleSize
        leaves = .allocate(capacity: shape.trees * shape.leavesPerTree)
        tree = leaves
        numbers = .allocate(capacity: (shape.levels + 1) * sampleSize)
        numbers.initialize(repeating: 0, count: (shape.levels + 1) * sampleSize)
        seen = .allocate(capacity: (shape.levels + 1) * sampleSize)
        seen.initialize(repeating: 0, count: (shape.levels + 1) * sampleSize)
    }

    deinit {
        leaves.deallocate()
        numbers.deallocate()
        seen.deallocate()
    }

    func startTree(_ tree: Int) { self.tree = leaves + tree * shape.leavesPerTree }

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
        let place = shape.levels &* sampleSize &+ count &- 1
        tree[position] = kind(place, depth: shape.levels, count: count)
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

    @inline(__always)
    private func fill(depth: Int, position: Int, _ kind: UInt32) {
        let below = shape.levels &- depth
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

    @inline(never)
    private func addKind(depth: Int, count: Int, _ place: Int) {
        paths.append(PathLength.fixed(depth: depth, count: count))
        origins.append(ForestPayload.LeafOrigin(count: UInt32(count), depth: UInt32(depth)))
        numbers[place] = UInt32(paths.count)
    }

    /// Leaves written, without their copies.
    var leafCount: Int { (0..<(shape.levels + 1) * sampleSize).reduce(0) { $0 + seen[$1] } }

    /// The rows' path lengths, summed over all trees, for each row of the sample on average.
    func expectedSum() -> Double {
        var sum = 0.0
        for kind in paths.indices {
            let count = Int(origins[kind].count)
            let leaves = seen[Int(origins[kind].depth) * sampleSize + count - 1]
            sum += Double(leaves * count) * (Double(paths[kind]) * 0x1p-32)
        }
        return sum / Double(sampleSize)
    }
}
