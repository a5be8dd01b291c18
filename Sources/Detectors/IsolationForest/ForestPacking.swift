import DetectorAPI

/// The short form of a forest, for models of which there are many: only the nodes and leaves that exist.
///
///     0   header, centres, paths, origins as in the plain form
///         masks         UInt64 x trees x maskWords: bit 2^level + position for each node
///         nodes         UInt32 x nodeCount, tree after tree, level after level
///         leaves        UInt8 x (nodeCount + trees), tree after tree, left to right
///
/// Trees grown from 256 rows have about 65 of the 255 nodes that fit, so this is a third of the plain form. It
/// cannot be scored from: decoding writes the plain form to memory.
struct ForestPacking {
    let payload: ForestPayload
    private let shape: ForestShape
    private let maskWords: Int
    /// For each node, numbered 2^level + position: its word, and the first leaf right of its cut.
    private let places: [(word: Int, boundary: Int)]

    init(_ payload: ForestPayload) {
        self.payload = payload
        shape = payload.shape
        maskWords = max(1, shape.leavesPerTree / 64)
        var places = [(word: 0, boundary: 0)]
        for level in 0..<shape.levels {
            let place = shape.place(ofLevel: level)
            for position in 0..<1 << level {
                places.append((place.word(position), (2 * position + 1) << (shape.levels - level - 1)))
            }
        }
        self.places = places
    }

    /// Only one-byte leaves are packed.
    static func isPossible(kinds: Int) -> Bool { kinds <= 1 << 8 }

    private var masksOffset: Int { payload.nodesOffset }
    private var nodesOffset: Int { (masksOffset + shape.trees * maskWords * 8).aligned }
    private var leavesOffset: Int { nodesOffset + payload.nodeCount * 4 }
    private var size: Int { leavesOffset + payload.nodeCount + shape.trees }

    /// The short form of a plain one.
    func pack(_ plain: UnsafeRawBufferPointer) -> [UInt8] {
        let forest = ForestPointers(payload, plain)
        let kinds = forest.leaves.assumingMemoryBound(to: UInt8.self)
        return [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
            let bytes = UnsafeMutableRawBufferPointer(bytes)
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: plain[..<payload.nodesOffset]))
            payload.writeHeader(to: bytes)
            let base = bytes.baseAddress.unsafelyUnwrapped
            (base + masksOffset).initializeMemory(
                as: UInt8.self, repeating: 0, count: nodesOffset - masksOffset)
            var node = nodesOffset
            var leaf = leavesOffset
            var mask = MaskBits(words: maskWords)
            var starts = MaskBits(words: maskWords)
            for tree in 0..<shape.trees {
                mask.clear()
                starts.clear()
                starts.insert(0)
                let words = forest.nodes + tree * shape.wordsPerTree
                for number in 1..<max(1, shape.leavesPerTree)
                where words[places[number].word] != ForestShape.noNode {
                    mask.insert(number)
                    starts.insert(places[number].boundary)
                    bytes.storeBytes(of: words[places[number].word], toByteOffset: node, as: UInt32.self)
                    node += 4
                }
                for word in 0..<maskWords {
                    bytes.storeBytes(
                        of: mask.words[word], toByteOffset: masksOffset + (tree * maskWords + word) * 8,
                        as: UInt64.self)
                }
                let treeKinds = kinds + tree * shape.leavesPerTree
                starts.visit { start in
                    bytes[leaf] = treeKinds[start]
                    leaf += 1
                }
            }
            count = size
        }
    }

    /// Checks the short form and writes the plain one.
    func expand(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) -> ArtifactBytes {
        guard bytes.count == size else {
            throw .invalidArtifact("\(bytes.count) bytes, but its header describes \(size)")
        }
        let base = bytes.baseAddress.unsafelyUnwrapped  // not empty: the size was checked
        let masks = base.advanced(by: masksOffset).assumingMemoryBound(to: UInt64.self)
        let nodes = base.advanced(by: nodesOffset).assumingMemoryBound(to: UInt32.self)
        let leaves = base.advanced(by: leavesOffset).assumingMemoryBound(to: UInt8.self)
        try check(masks, nodes, leaves)
        // Leaves are written in steps of 16 bytes, the last ones past the end.
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: payload.size + 64, alignment: ArtifactBytes.alignment)
        memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<payload.nodesOffset]))
        let plain = memory.baseAddress.unsafelyUnwrapped
        let words = (plain + payload.nodesOffset).initializeMemory(
            as: UInt32.self, repeating: ForestShape.noNode, count: shape.trees * shape.wordsPerTree)
        var node = nodes
        var leaf = leaves
        var starts = MaskBits(words: maskWords)
        for tree in 0..<shape.trees {
            starts.clear()
            starts.insert(0)
            let treeWords = words + tree * shape.wordsPerTree
            for word in 0..<maskWords {
                var rest = masks[tree * maskWords + word]
                while rest != 0 {
                    let place = places[word &* 64 &+ rest.trailingZeroBitCount]
                    rest &= rest &- 1
                    treeWords[place.word] = node.pointee
                    starts.insert(place.boundary)
                    node += 1
                }
            }
            let treeLeaves = plain + payload.leavesOffset + tree * shape.leavesPerTree
            starts.visitRanges(upTo: shape.leavesPerTree) { range in
                let kind = SIMD16(repeating: leaf.pointee)
                for place in stride(from: range.lowerBound, to: range.upperBound, by: 16) {
                    (treeLeaves + place).storeBytes(of: kind, as: SIMD16<UInt8>.self)
                }
                leaf += 1
            }
        }
        nonisolated(unsafe) let owned = memory  // freed once, by the last owner
        return ArtifactBytes(UnsafeRawBufferPointer(rebasing: owned[..<payload.size])) { owned.deallocate() }
    }

    private func check(
        _ masks: UnsafePointer<UInt64>, _ nodes: UnsafePointer<UInt32>, _ leaves: UnsafePointer<UInt8>
    ) throws(DetectorError) {
        // Bit 0 names no node, nor do bits beyond a small tree's.
        let possible = shape.leavesPerTree < 64 ? (1 as UInt64) << UInt64(shape.leavesPerTree) - 1 : .max
        var count = 0
        for word in 0..<shape.trees * maskWords {
            let allowed = word % maskWords == 0 ? possible & ~1 : possible
            guard masks[word] & ~allowed == 0 else {
                throw .invalidArtifact("there is a node where none can be")
            }
            count += masks[word].nonzeroBitCount
        }
        guard count == payload.nodeCount else {
            throw .invalidArtifact("\(count) nodes, but its header says \(payload.nodeCount)")
        }
        for node in 0..<payload.nodeCount {
            guard Int(nodes[node] & (shape.missingBit - 1)) < shape.columns, nodes[node] != ForestShape.noNode
            else { throw .invalidArtifact("node \(node) asks for a column that is not there") }
        }
        for leaf in 0..<payload.nodeCount + shape.trees {
            guard leaves[leaf] < payload.kinds else {
                throw .invalidArtifact("leaf \(leaf) is of a kind that is not there")
            }
        }
    }
}

/// A set of small numbers.
private struct MaskBits {
    private(set) var words: [UInt64]

    init(words count: Int) { words = [UInt64](repeating: 0, count: count) }

    mutating func clear() { for word in words.indices { words[word] = 0 } }

    @inline(__always)
    mutating func insert(_ number: Int) { words[number &>> 6] |= 1 &<< UInt64(number & 63) }

    @inline(__always)
    func visit(_ body: (Int) -> Void) {
        for word in words.indices {
            var rest = words[word]
            while rest != 0 {
                body(word &* 64 &+ rest.trailingZeroBitCount)
                rest &= rest &- 1
            }
        }
    }

    /// From each number to the next, the last one's up to `end`. 0 is in the set.
    @inline(__always)
    func visitRanges(upTo end: Int, _ body: (Range<Int>) -> Void) {
        var start = 0
        visit { number in
            if number > 0 { body(start..<number) }
            start = number
        }
        body(start..<end)
    }
}
