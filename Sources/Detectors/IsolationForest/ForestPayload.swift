import DetectorAPI

/// The artifact of an isolation forest, format 1. Little-endian. This is the plain form; `ForestPacking` has the short one.
///
///     0   header, 64 bytes
///     64  centres       Float x columns
///         paths         Int64 x kinds: a leaf's path length in units of 2^-32
///         origins       LeafOrigin x kinds
///         nodes         UInt32 x trees x wordsPerTree
///         leaves        UInt8, UInt16 or UInt32 x trees x leavesPerTree: numbers of kinds
///
/// Each part starts at a multiple of 64. The bytes are what scoring reads; decoding only checks them.
struct ForestPayload: Sendable {
    static let magic: UInt32 = 0x4652_4F46  // "FORF"
    static let version: UInt16 = 2
    static let headerSize = 64

    let shape: ForestShape
    let sampleSize: Int
    /// c(sampleSize).
    let normaliser: Double
    /// The training rows' mean path length, summed over the trees: the path of a row about which nothing is known.
    let expectedSum: Double
    /// Different combinations of depth and training rows among the leaves: so few that a leaf is one byte.
    let kinds: Int
    /// Bytes of a leaf: 1, 2 or 4.
    let leafWidth: Int
    /// Whether the artifact is in the short form; what is in memory is always plain.
    let isPacked: Bool
    /// Nodes that exist, in all trees.
    let nodeCount: Int

    /// What gave a leaf its path length.
    struct LeafOrigin {
        /// Training rows.
        var count: UInt32
        var depth: UInt32
    }

    var centresOffset: Int { Self.headerSize }
    var pathsOffset: Int { (centresOffset + shape.columns * 4).aligned }
    var originsOffset: Int { (pathsOffset + kinds * 8).aligned }
    var nodesOffset: Int { (originsOffset + kinds * 8).aligned }
    var leavesOffset: Int { nodesOffset + shape.trees * shape.wordsPerTree * 4 }
    var size: Int { leavesOffset + shape.trees * shape.leavesPerTree * leafWidth }

    /// The payload of a forest just grown.
    init(
        shape: ForestShape, sampleSize: Int, normaliser: Double, expectedSum: Double, kinds: Int,
        isPacked: Bool, nodeCount: Int
    ) {
        self.shape = shape
        self.sampleSize = sampleSize
        self.normaliser = normaliser
        self.expectedSum = expectedSum
        self.kinds = kinds
        self.isPacked = isPacked && ForestPacking.isPossible(kinds: kinds)
        self.nodeCount = nodeCount
        leafWidth = kinds <= 1 << 8 ? 1 : kinds <= 1 << 16 ? 2 : 4
    }

    /// Puts the parts together.
    func artifact(centres: [Float], nodes: [UInt32], leaves: LeafTable) -> ArtifactBytes {
        ArtifactBytes(count: size) { bytes in
            for offset in 0..<nodesOffset { bytes[offset] = 0 }
            writeHeader(to: bytes)
            bytes.copy(centres, at: centresOffset)
            bytes.copy(leaves.paths, at: pathsOffset)
            bytes.copy(leaves.origins, at: originsOffset)
            bytes.copy(nodes, at: nodesOffset)
            switch leafWidth {
            case 1: narrow(leaves.leaves, to: bytes, as: UInt8.self)
            case 2: narrow(leaves.leaves, to: bytes, as: UInt16.self)
            default: narrow(leaves.leaves, to: bytes, as: UInt32.self)
            }
        }
    }

    private func narrow<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ leaves: UnsafePointer<UInt32>, to bytes: UnsafeMutableRawBufferPointer, as leaf: Leaf.Type
    ) {
        let count = shape.trees * shape.leavesPerTree
        let target = (bytes.baseAddress.unsafelyUnwrapped + leavesOffset).bindMemory(
            to: Leaf.self, capacity: count)
        for place in 0..<count { target[place] = Leaf(truncatingIfNeeded: leaves[place]) }
    }

    func writeHeader(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
        bytes.storeBytes(of: UInt8(shape.levels), toByteOffset: 6, as: UInt8.self)
        bytes.storeBytes(of: UInt8(leafWidth), toByteOffset: 7, as: UInt8.self)
        bytes.storeBytes(of: UInt32(shape.columns), toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(shape.trees), toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: UInt32(sampleSize), toByteOffset: 16, as: UInt32.self)
        bytes.storeBytes(of: UInt32(kinds), toByteOffset: 20, as: UInt32.self)
        bytes.storeBytes(of: normaliser, toByteOffset: 24, as: Double.self)
        bytes.storeBytes(of: expectedSum, toByteOffset: 32, as: Double.self)
        bytes.storeBytes(of: isPacked ? 1 : 0, toByteOffset: 40, as: UInt32.self)
        bytes.storeBytes(of: UInt32(nodeCount), toByteOffset: 44, as: UInt32.self)
        bytes.storeBytes(of: UInt32(shape.spareBits), toByteOffset: 48, as: UInt32.self)
    }
}

extension ForestPayload {
    /// Reads a header, and checks the numbers in it and the tables that follow.
    init(readingHeader bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count >= Self.headerSize else {
            throw .invalidArtifact("\(bytes.count) bytes are shorter than the header of \(Self.headerSize)")
        }
        guard bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self) == Self.magic else {
            throw .invalidArtifact("it does not start as an isolation forest does")
        }
        let version = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        guard version == Self.version else {
            throw .invalidArtifact("format \(version) is not known; this detector reads \(Self.version)")
        }
        let levels = Int(bytes[6])
        leafWidth = Int(bytes[7])
        let columns = Int(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let trees = Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        sampleSize = Int(bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        kinds = Int(bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
        normaliser = bytes.loadUnaligned(fromByteOffset: 24, as: Double.self)
        expectedSum = bytes.loadUnaligned(fromByteOffset: 32, as: Double.self)
        let storage = bytes.loadUnaligned(fromByteOffset: 40, as: UInt32.self)
        isPacked = storage == 1
        nodeCount = Int(bytes.loadUnaligned(fromByteOffset: 44, as: UInt32.self))
        let spareBits = Int(bytes.loadUnaligned(fromByteOffset: 48, as: UInt32.self))
        guard levels <= ForestShape.maximumLevels, [1, 2, 4].contains(leafWidth), storage <= 1,
            !isPacked || leafWidth == 1,
            (1...ForestShape.maximumColumns).contains(columns),
            (1...ForestParameters.maximumTrees).contains(trees),
            (1...ForestParameters.maximumSampleSize).contains(sampleSize), kinds >= 1,
            normaliser == 0 || (1...64).contains(normaliser), (0...64 * Double(trees)).contains(expectedSum),
            spareBits == 0 || spareBits == ForestPacking.spareBits(columns: columns)
        else { throw .invalidArtifact("a number in its header is out of range") }
        shape = ForestShape(columns: columns, trees: trees, levels: levels, spareBits: spareBits)
        guard bytes.count >= nodesOffset else {
            throw .invalidArtifact("\(bytes.count) bytes are too few for its tables")
        }
        try checkTables(bytes)
    }

    private func checkTables(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        let forest = ForestPointers(self, bytes)
        for column in 0..<shape.columns where !forest.centres[column].isFinite {
            throw .invalidArtifact("the centre of column \(column) is not finite")
        }
        for kind in 0..<kinds {
            let origin = forest.origins[kind]
            guard (0...PathLength.maximumFixed).contains(forest.paths[kind]), origin.depth <= shape.levels,
                (1...UInt32(sampleSize)).contains(origin.count)
            else { throw .invalidArtifact("leaf kind \(kind) is out of range") }
        }
    }

    /// Checks everything that scoring from the plain form will rely on.
    func checkPlain(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count == size else {
            throw .invalidArtifact("\(bytes.count) bytes, but its header describes \(size)")
        }
        let forest = ForestPointers(self, bytes)
        try checkNodes(forest.nodes)
        let count = shape.trees * shape.leavesPerTree
        let greatestKind =
            switch leafWidth {
            case 1: greatest(forest.leaves.assumingMemoryBound(to: UInt8.self), count)
            case 2: greatest(forest.leaves.assumingMemoryBound(to: UInt16.self), count)
            default: greatest(forest.leaves.assumingMemoryBound(to: UInt32.self), count)
            }
        guard greatestKind < kinds else {
            throw .invalidArtifact("a leaf is of kind \(greatestKind) of \(kinds)")
        }
    }

    /// Every word names a column, and the places without a node hold none.
    private func checkNodes(_ nodes: UnsafePointer<UInt32>) throws(DetectorError) {
        let columnMask = Int32(bitPattern: shape.missingBit - 1)
        let greatest = Int32(shape.columns - 1)
        // Negative as soon as one word is wrong; without branches or comparisons, so that it is done four at a time.
        var wrong: Int32 = 0
        var unusedWords = ForestShape.noNode
        for word in 0..<shape.trees * shape.wordsPerTree {
            let value = Int32(bitPattern: nodes[word])
            let isNode = ~value | (0 &- ~value)
            wrong |= (greatest &- value & columnMask) & isNode
        }
        for block in 0..<shape.trees * shape.wordsPerTree / ForestShape.wordsPerBlock {
            unusedWords &= nodes[block &* ForestShape.wordsPerBlock &+ 7]
        }
        guard wrong >= 0 else {
            throw .invalidArtifact("a node asks for a column that is not among the \(shape.columns)")
        }
        guard unusedWords == ForestShape.noNode else {
            throw .invalidArtifact("there is a node where none can be")
        }
    }

    private func greatest<Leaf: FixedWidthInteger>(_ leaves: UnsafePointer<Leaf>, _ count: Int) -> Int {
        var greatest: Leaf = 0
        for index in 0..<count { greatest = max(greatest, leaves[index]) }
        return Int(greatest)
    }
}

extension UnsafeMutableRawBufferPointer {
    func copy<Element>(_ source: [Element], at offset: Int) {
        source.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: self[offset..<offset + source.count]).copyMemory(
                from: source)
        }
    }
}

extension Int {
    /// Rounded up to a multiple of 64, where the next part of an artifact starts.
    var aligned: Int { (self + 63) & ~63 }
}
