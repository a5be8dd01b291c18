import DetectorAPI

/// The artifact of a forest whose nodes cut by several columns at once, format 1. Little-endian.
///
///     0   header, 64 bytes
///     64  centres       Float x columns
///         paths         Int64 x kinds: a leaf's path length in units of 2^-32
///         origins       LeafOrigin x kinds
///         starts        UInt32 x (trees + 1): the first node of each tree
///         nodes         HyperplaneNode x nodes, level after level: the children of a tree's node number k that is no
///                       leaf, counted from 0, are its nodes 2k + 1 and 2k + 2
///         terms         HyperplaneTerm x terms a node x inner nodes, in the order of the nodes
///
/// Each part starts at a multiple of 64.
struct HyperplanePayload: Sendable {
    static let magic: UInt32 = 0x5846_4F52  // "ROFX"
    static let version: UInt16 = 1
    static let headerSize = 64
    static let maximumTerms = 16

    let columns: Int
    let trees: Int
    let sampleSize: Int
    /// Columns that a node looks at.
    let terms: Int
    let normaliser: Double
    let expectedSum: Double
    let kinds: Int
    let nodes: Int
    var innerNodes: Int { (nodes - trees) / 2 }

    var centresOffset: Int { Self.headerSize }
    var pathsOffset: Int { (centresOffset + columns * 4).aligned }
    var originsOffset: Int { (pathsOffset + kinds * 8).aligned }
    var startsOffset: Int { (originsOffset + kinds * 8).aligned }
    var nodesOffset: Int { (startsOffset + (trees + 1) * 4).aligned }
    var termsOffset: Int { (nodesOffset + nodes * MemoryLayout<HyperplaneNode>.stride).aligned }
    var size: Int { termsOffset + innerNodes * terms * MemoryLayout<HyperplaneTerm>.stride }

    func writeHeader(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
        bytes.storeBytes(of: UInt16(terms), toByteOffset: 6, as: UInt16.self)
        bytes.storeBytes(of: UInt32(columns), toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(trees), toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: UInt32(sampleSize), toByteOffset: 16, as: UInt32.self)
        bytes.storeBytes(of: UInt32(kinds), toByteOffset: 20, as: UInt32.self)
        bytes.storeBytes(of: normaliser, toByteOffset: 24, as: Double.self)
        bytes.storeBytes(of: expectedSum, toByteOffset: 32, as: Double.self)
        bytes.storeBytes(of: UInt32(nodes), toByteOffset: 40, as: UInt32.self)
    }
}

struct HyperplaneNode {
    /// 0 for a leaf; else 1 + its number among the tree's inner nodes.
    var inner: UInt32
    /// Rows whose projection is above it go right. Of a leaf: the number of its kind, as bits.
    var threshold: Float

    var kind: Int { Int(threshold.bitPattern) }
}

struct HyperplaneTerm {
    var column: UInt32
    var coefficient: Float
}

extension HyperplanePayload {
    static func isOne(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= headerSize && bytes.loadUnaligned(as: UInt32.self) == magic
    }

    /// Reads a header and checks everything that scoring will rely on.
    ///
    /// - Precondition: `isOne(bytes)`.
    init(checking bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        let version = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        guard version == Self.version else {
            throw .invalidArtifact("format \(version) is not known; this detector reads \(Self.version)")
        }
        func number(_ offset: Int) -> Int {
            Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        terms = Int(bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        columns = number(8)
        trees = number(12)
        sampleSize = number(16)
        kinds = number(20)
        nodes = number(40)
        normaliser = bytes.loadUnaligned(fromByteOffset: 24, as: Double.self)
        expectedSum = bytes.loadUnaligned(fromByteOffset: 32, as: Double.self)
        guard (1...Self.maximumTerms).contains(terms), (1...ForestShape.maximumColumns).contains(columns),
            (1...ForestParameters.maximumTrees).contains(trees),
            (1...ForestParameters.maximumSampleSize).contains(sampleSize), kinds >= 1, nodes >= trees,
            (nodes - trees) % 2 == 0, normaliser == 0 || (1...64).contains(normaliser),
            (0...64 * Double(trees)).contains(expectedSum)
        else { throw .invalidArtifact("a number in its header is out of range") }
        guard bytes.count == size else {
            throw .invalidArtifact("\(bytes.count) bytes, but its header describes \(size)")
        }
        try checkParts(HyperplanePointers(self, bytes))
    }

    private func checkParts(_ forest: HyperplanePointers) throws(DetectorError) {
        for column in 0..<columns where !forest.centres[column].isFinite {
            throw .invalidArtifact("the centre of column \(column) is not finite")
        }
        for kind in 0..<kinds {
            guard (0...PathLength.maximumFixed).contains(forest.paths[kind]),
                (1...UInt32(sampleSize)).contains(forest.origins[kind].count)
            else { throw .invalidArtifact("leaf kind \(kind) is out of range") }
        }
        for term in 0..<innerNodes * terms {
            guard forest.terms[term].column < columns, forest.terms[term].coefficient.isFinite else {
                throw .invalidArtifact("term \(term) is not one")
            }
        }
        guard forest.starts[0] == 0, forest.starts[trees] == nodes else {
            throw .invalidArtifact("its trees do not hold its nodes")
        }
        for tree in 0..<trees { try checkTree(forest, tree) }
    }

    /// Every child comes after its parent, so no way goes round; and inner nodes are numbered as they come.
    private func checkTree(_ forest: HyperplanePointers, _ tree: Int) throws(DetectorError) {
        let start = Int(forest.starts[tree])
        let end = Int(forest.starts[tree + 1])
        guard start < end, end <= nodes else { throw .invalidArtifact("tree \(tree) has no nodes") }
        var inner = 0
        for index in 0..<end - start {
            let node = forest.nodes[start + index]
            if node.inner == 0 {
                guard node.kind < kinds else { throw .invalidArtifact("a leaf is of kind \(node.kind)") }
            } else {
                inner += 1
                guard Int(node.inner) == inner, 2 * inner - 1 > index, 2 * inner < end - start,
                    node.threshold.isFinite
                else { throw .invalidArtifact("node \(index) of tree \(tree) is not one") }
            }
        }
        guard 2 * inner + 1 == end - start else {
            throw .invalidArtifact("tree \(tree) has nodes that no way leads to")
        }
    }
}

/// A checked artifact as pointers, for the time of one call.
struct HyperplanePointers {
    let centres: UnsafePointer<Float>
    let paths: UnsafePointer<Int64>
    let origins: UnsafePointer<ForestPayload.LeafOrigin>
    let starts: UnsafePointer<UInt32>
    let nodes: UnsafePointer<HyperplaneNode>
    let terms: UnsafePointer<HyperplaneTerm>

    init(_ payload: HyperplanePayload, _ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress.unsafelyUnwrapped  // checked: not empty
        centres = (base + payload.centresOffset).assumingMemoryBound(to: Float.self)
        paths = (base + payload.pathsOffset).assumingMemoryBound(to: Int64.self)
        origins = (base + payload.originsOffset).assumingMemoryBound(to: ForestPayload.LeafOrigin.self)
        starts = (base + payload.startsOffset).assumingMemoryBound(to: UInt32.self)
        nodes = (base + payload.nodesOffset).assumingMemoryBound(to: HyperplaneNode.self)
        terms = (base + payload.termsOffset).assumingMemoryBound(to: HyperplaneTerm.self)
    }
}
