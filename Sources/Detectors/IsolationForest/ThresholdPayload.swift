import DetectorAPI

/// The artifact of a forest that something else has grown, format 1: thresholds of full precision. Little-endian.
///
///     0   header, 64 bytes
///     64  paths         Int64 x kinds: a leaf's path length in units of 2^-32
///         rows          UInt32 x kinds: training rows of such a leaf
///         starts        UInt32 x (trees + 1): the first node of each tree
///         nodes         ThresholdNode x nodes, level after level: the children of a tree's node number k that is no
///                       leaf, counted from 0, are its nodes 2k + 1 and 2k + 2
///
/// Each part starts at a multiple of 64.
struct ThresholdPayload: Sendable {
    static let magic: UInt32 = 0x5446_4F52  // "ROFT"
    static let version: UInt16 = 1
    static let headerSize = 64
    /// Leaves lie no deeper. Trees that grew to a balanced one's height have at most 31 levels.
    static let maximumPath = 1_000.0
    static let maximumRows = 1 << 30

    let columns: Int
    let trees: Int
    let sampleSize: Int
    let kinds: Int
    let nodes: Int
    let normaliser: Double
    /// The training rows' mean path length, summed over the trees.
    let expectedSum: Double

    var pathsOffset: Int { Self.headerSize }
    var rowsOffset: Int { (pathsOffset + kinds * 8).aligned }
    var startsOffset: Int { (rowsOffset + kinds * 4).aligned }
    var nodesOffset: Int { (startsOffset + (trees + 1) * 4).aligned }
    var size: Int { nodesOffset + nodes * MemoryLayout<ThresholdNode>.stride }

    func writeHeader(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
        bytes.storeBytes(of: UInt32(columns), toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(trees), toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: UInt32(sampleSize), toByteOffset: 16, as: UInt32.self)
        bytes.storeBytes(of: UInt32(kinds), toByteOffset: 20, as: UInt32.self)
        bytes.storeBytes(of: normaliser, toByteOffset: 24, as: Double.self)
        bytes.storeBytes(of: expectedSum, toByteOffset: 32, as: Double.self)
        bytes.storeBytes(of: UInt32(nodes), toByteOffset: 40, as: UInt32.self)
    }
}

struct ThresholdNode {
    /// 0 for a leaf; else 1 + its number among the tree's inner nodes.
    var inner: UInt32
    /// Values above it go right. Of a leaf: the number of its kind, as bits.
    var threshold: Float
    /// The column, and above it `missingBit`.
    var selector: UInt32

    /// Set where missing values go right.
    static let missingBit: UInt32 = 1 << 31

    var kind: Int { Int(threshold.bitPattern) }
    var column: Int { Int(selector & ~Self.missingBit) }

    @inline(__always)
    func goesRight(_ value: Float) -> Bool {
        value.isNaN ? selector & Self.missingBit != 0 : value > threshold
    }
}

extension ThresholdPayload {
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
        columns = number(8)
        trees = number(12)
        sampleSize = number(16)
        kinds = number(20)
        nodes = number(40)
        normaliser = bytes.loadUnaligned(fromByteOffset: 24, as: Double.self)
        expectedSum = bytes.loadUnaligned(fromByteOffset: 32, as: Double.self)
        guard (1...ForestShape.maximumColumns).contains(columns),
            (1...ForestParameters.maximumTrees).contains(trees),
            (1...Self.maximumRows).contains(sampleSize), kinds >= 1, nodes >= trees,
            Self.isNormaliser(normaliser), (0...Self.maximumPath * Double(trees)).contains(expectedSum)
        else { throw .invalidArtifact("a number in its header is out of range") }
        guard bytes.count == size else {
            throw .invalidArtifact("\(bytes.count) bytes, but its header describes \(size)")
        }
        try checkParts(ThresholdPointers(self, bytes))
    }

    /// 0, or one that keeps the exponents of scores in reach.
    static func isNormaliser(_ value: Double) -> Bool { value == 0 || (1...maximumPath).contains(value) }

    private func checkParts(_ forest: ThresholdPointers) throws(DetectorError) {
        for kind in 0..<kinds {
            guard (0...Int64(Self.maximumPath) << 32).contains(forest.paths[kind]),
                (1...Self.maximumRows).contains(Int(forest.rows[kind]))
            else { throw .invalidArtifact("leaf kind \(kind) is out of range") }
        }
        guard forest.starts[0] == 0, forest.starts[trees] == nodes else {
            throw .invalidArtifact("its trees do not hold its nodes")
        }
        for tree in 0..<trees { try checkTree(forest, tree) }
    }

    /// Every child comes after its parent, so no way goes round; and inner nodes are numbered as they come.
    private func checkTree(_ forest: ThresholdPointers, _ tree: Int) throws(DetectorError) {
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
                    !node.threshold.isNaN, node.column < columns
                else { throw .invalidArtifact("node \(index) of tree \(tree) is not one") }
            }
        }
        guard 2 * inner + 1 == end - start else {
            throw .invalidArtifact("tree \(tree) has nodes that no way leads to")
        }
    }
}

/// A checked artifact as pointers, for the time of one call.
struct ThresholdPointers {
    let paths: UnsafePointer<Int64>
    let rows: UnsafePointer<UInt32>
    let starts: UnsafePointer<UInt32>
    let nodes: UnsafePointer<ThresholdNode>

    init(_ payload: ThresholdPayload, _ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress.unsafelyUnwrapped  // checked: not empty
        paths = (base + payload.pathsOffset).assumingMemoryBound(to: Int64.self)
        rows = (base + payload.rowsOffset).assumingMemoryBound(to: UInt32.self)
        starts = (base + payload.startsOffset).assumingMemoryBound(to: UInt32.self)
        nodes = (base + payload.nodesOffset).assumingMemoryBound(to: ThresholdNode.self)
    }
}
