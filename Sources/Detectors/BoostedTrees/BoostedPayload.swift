import CForestKernels
import DetectorAPI

/// The artifact of boosted trees, format 1. Little-endian.
///
///     0   header, 64 bytes
///     64  key rows      KeyRow x rows: what is made of a row before it is walked
///         starts        UInt32 x (trees + 1): the first node of each tree
///         set starts    UInt32 x (trees + 1): the first set of each tree
///         nodes         boosted_node x nodes
///         sets          boosted_set x sets
///         leaves        Int32 x (nodes + trees + 32): in units of 2^-fractionBits; the last 32 are 0
///         covers        UInt32 x (nodes + trees): training rows of each leaf
///         places        UInt8 x places: of the categories
///
/// Each part starts at a multiple of 64. A tree has one leaf more than nodes. Its nodes stand in the order of a walk that
/// visits the left first; a node's mask has a bit for each leaf on its left, so that no child is pointed to: the left child
/// is the next node, the right one comes after as many as there are leaves on the left. A node of a set names, after the
/// key rows, the number of the set in its tree.
struct BoostedPayload: Sendable {
    static let magic: UInt32 = 0x5453_4F42  // "BOST"
    static let version: UInt16 = 1
    static let headerSize = 64
    static let maximumLeaves = Int(BOOSTED_LEAVES)
    /// Of margins: sums and calibration stay finite.
    private static let greatest = 1e9

    let columns: Int
    let trees: Int
    let keyRows: Int
    let nodes: Int
    let sets: Int
    let places: Int
    let fractionBits: Int
    /// The margin of a row of which nothing is known to the trees: the logarithm of the odds of a fraud in training.
    let base: Double
    let calibration: Calibration

    var leaves: Int { nodes + trees }

    var keyRowsOffset: Int { Self.headerSize }
    var startsOffset: Int { (keyRowsOffset + keyRows * MemoryLayout<KeyRow>.stride).aligned }
    var setStartsOffset: Int { (startsOffset + (trees + 1) * 4).aligned }
    var nodesOffset: Int { (setStartsOffset + (trees + 1) * 4).aligned }
    var setsOffset: Int { (nodesOffset + nodes * MemoryLayout<boosted_node>.stride).aligned }
    var leavesOffset: Int { (setsOffset + sets * MemoryLayout<boosted_set>.stride).aligned }
    var coversOffset: Int { (leavesOffset + (leaves + Self.maximumLeaves) * 4).aligned }
    var placesOffset: Int { (coversOffset + leaves * 4).aligned }
    var size: Int { placesOffset + places }

    func writeHeader(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
        for (place, number) in [columns, trees, keyRows, nodes, sets, places, fractionBits].enumerated() {
            bytes.storeBytes(of: UInt32(number), toByteOffset: 8 + 4 * place, as: UInt32.self)
        }
        bytes.storeBytes(of: base, toByteOffset: 40, as: Double.self)
        bytes.storeBytes(of: calibration.slope, toByteOffset: 48, as: Double.self)
        bytes.storeBytes(of: calibration.intercept, toByteOffset: 56, as: Double.self)
    }
}

extension BoostedPayload {
    /// Reads a header and checks everything that scoring will rely on.
    init(checking bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count >= Self.headerSize else {
            throw .invalidArtifact("\(bytes.count) bytes are shorter than the header of \(Self.headerSize)")
        }
        guard bytes.loadUnaligned(as: UInt32.self) == Self.magic else {
            throw .invalidArtifact("it does not start as boosted trees do")
        }
        let version = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        guard version == Self.version else {
            throw .invalidArtifact("format \(version) is not known; this detector reads \(Self.version)")
        }
        func number(_ place: Int) -> Int {
            Int(bytes.loadUnaligned(fromByteOffset: 8 + 4 * place, as: UInt32.self))
        }
        columns = number(0)
        trees = number(1)
        keyRows = number(2)
        nodes = number(3)
        sets = number(4)
        places = number(5)
        fractionBits = number(6)
        base = bytes.loadUnaligned(fromByteOffset: 40, as: Double.self)
        calibration = Calibration(
            slope: bytes.loadUnaligned(fromByteOffset: 48, as: Double.self),
            intercept: bytes.loadUnaligned(fromByteOffset: 56, as: Double.self))
        let range = -Self.greatest...Self.greatest
        guard (1...LabelledRows.maximumColumns).contains(columns), trees <= BoostedParameters.maximumTrees,
            keyRows <= 2 * columns, nodes <= trees * (Self.maximumLeaves - 1), sets <= nodes,
            fractionBits <= 60,
            places <= columns * LabelledRows.maximumCategories, range.contains(base),
            Calibration.slopes.contains(calibration.slope), range.contains(calibration.intercept)
        else { throw .invalidArtifact("a number in its header is out of range") }
        guard bytes.count == size else {
            throw .invalidArtifact("\(bytes.count) bytes, but its header describes \(size)")
        }
        let parts = BoostedParts(self, bytes)
        try checkKeyRows(parts)
        guard parts.starts[0] == 0, parts.setStarts[0] == 0, parts.starts[trees] == nodes,
            parts.setStarts[trees] == sets
        else { throw .invalidArtifact("its trees do not hold its nodes") }
        for tree in 0..<trees { try checkTree(parts, tree) }
        for leaf in 0..<leaves where parts.covers[leaf] == 0 {
            throw .invalidArtifact("leaf \(leaf) is of no rows")
        }
    }

    private func checkKeyRows(_ parts: BoostedParts) throws(DetectorError) {
        for place in 0..<keyRows {
            let row = parts.keyRows[place]
            guard row.column < columns, let kind = KeyRow.Kind(rawValue: row.kind),
                kind == .place
                    ? Int(row.firstPlace) + Int(row.cardinality) <= places
                        && row.cardinality <= LabelledRows.maximumCategories
                    : row.firstPlace == 0 && row.cardinality == 0
            else { throw .invalidArtifact("key row \(place) is not one") }
        }
    }

    /// Every node's leaves on the left are the first ones of those that can be reached from it, and not all of them.
    private func checkTree(_ parts: BoostedParts, _ tree: Int) throws(DetectorError) {
        let (start, end) = (Int(parts.starts[tree]), Int(parts.starts[tree + 1]))
        let (firstSet, lastSet) = (Int(parts.setStarts[tree]), Int(parts.setStarts[tree + 1]))
        guard start <= end, end <= nodes, end - start < Self.maximumLeaves, firstSet <= lastSet,
            lastSet <= sets,
            lastSet - firstSet <= end - start
        else { throw .invalidArtifact("tree \(tree) is out of range") }
        for set in firstSet..<lastSet {
            let row = Int(parts.sets[set].row)
            guard row < keyRows, parts.keyRows[row].kind == KeyRow.Kind.place.rawValue else {
                throw .invalidArtifact("a set of tree \(tree) is of no column of categories")
            }
        }
        // Leaves below the nodes whose right side is still to come, the next one last.
        var open = [(first: 0, count: end - start + 1)]
        for index in start..<end {
            while let last = open.last, last.count == 1 { open.removeLast() }
            let node = parts.nodes[index]
            guard let (first, count) = open.popLast(), Int(node.row) < keyRows + lastSet - firstSet,
                node.mask.trailingZeroBitCount == first
            else { throw .invalidArtifact("node \(index - start) of tree \(tree) is not one") }
            let left = node.mask.nonzeroBitCount
            guard left < count, node.mask >> UInt32(first) == UInt32.max >> UInt32(32 - left) else {
                throw .invalidArtifact("node \(index - start) of tree \(tree) divides no leaves")
            }
            open.append((first + left, count - left))
            open.append((first, left))
        }
    }
}

/// A checked artifact as pointers, for the time of one call.
struct BoostedParts {
    let keyRows: UnsafePointer<KeyRow>
    let starts: UnsafePointer<UInt32>
    let setStarts: UnsafePointer<UInt32>
    let nodes: UnsafePointer<boosted_node>
    let sets: UnsafePointer<boosted_set>
    let leaves: UnsafePointer<Int32>
    let covers: UnsafePointer<UInt32>
    let places: UnsafePointer<UInt8>
    let trees: Int
    let keyRowCount: Int
    let columns: Int

    init(_ payload: BoostedPayload, _ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress.unsafelyUnwrapped  // checked: not empty
        keyRows = (base + payload.keyRowsOffset).assumingMemoryBound(to: KeyRow.self)
        starts = (base + payload.startsOffset).assumingMemoryBound(to: UInt32.self)
        setStarts = (base + payload.setStartsOffset).assumingMemoryBound(to: UInt32.self)
        nodes = (base + payload.nodesOffset).assumingMemoryBound(to: boosted_node.self)
        sets = (base + payload.setsOffset).assumingMemoryBound(to: boosted_set.self)
        leaves = (base + payload.leavesOffset).assumingMemoryBound(to: Int32.self)
        covers = (base + payload.coversOffset).assumingMemoryBound(to: UInt32.self)
        places = (base + payload.placesOffset).assumingMemoryBound(to: UInt8.self)
        trees = payload.trees
        keyRowCount = payload.keyRows
        columns = payload.columns
    }

    /// For the kernels.
    var boosted: boosted_trees {
        boosted_trees(
            trees: trees, rows: keyRowCount, starts: starts, nodes: nodes, set_starts: setStarts, sets: sets,
            leaves: leaves)
    }
}

extension Int {
    /// Rounded up to a multiple of 64, where the next part of an artifact starts.
    var aligned: Int { (self + 63) & ~63 }
}
