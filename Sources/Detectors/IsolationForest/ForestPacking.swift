import DetectorAPI

/// The short form of a forest, for models of which there are many: only the nodes and leaves that exist.
///
///     0   header, centres, paths, origins as in the plain form
///         masks         UInt64 x trees x maskWords: bit 2^level + position for each node; bit 0: all leaves are listed
///         nodes         3 or 4 bytes x nodeCount, tree after tree, level after level; 4 bytes of zeros
///         leaves        UInt8 each, tree after tree, left to right: numbers of kinds. Unless all are listed, those of
///                       one row above the last level are not
///
/// Trees grown from 256 rows have 65 to 95 of the 255 nodes that fit, so this is a quarter to a third of the plain form.
/// It cannot be scored from: decoding writes the plain form to memory.
struct ForestPacking {
    let payload: ForestPayload
    private let shape: ForestShape
    private let maskWords: Int
    /// For each node, numbered 2^level + position: its word, and the first leaf right of its cut.
    private let places: [Place]
    /// Bytes of a node: 3 if words have eight spare bits.
    private let nodeSize: Int

    private struct Place {
        var word: Int32
        var boundary: Int32
    }

    init(_ payload: ForestPayload) {
        self.payload = payload
        shape = payload.shape
        nodeSize = shape.spareBits == 8 ? 3 : 4
        maskWords = max(1, shape.leavesPerTree / 64)
        var places = [Place(word: 0, boundary: 0)]
        places.reserveCapacity(shape.leavesPerTree)
        for level in 0..<shape.levels {
            let place = shape.place(ofLevel: level)
            for position in 0..<1 << level {
                let boundary = (2 * position + 1) << (shape.levels - level - 1)
                places.append(Place(word: Int32(place.word(position)), boundary: Int32(boundary)))
            }
        }
        self.places = places
    }

    /// Only one-byte leaves are packed.
    static func isPossible(kinds: Int) -> Bool { kinds <= 1 << 8 }

    /// Up to 128 columns, thresholds keep at least 16 of 24 bits; more columns need longer words.
    static func spareBits(columns: Int) -> Int { columns <= 128 ? 8 : 0 }

    private var masksOffset: Int { payload.nodesOffset }
    private var nodesOffset: Int { (masksOffset + shape.trees * maskWords * 8).aligned }
    private var leavesOffset: Int { nodesOffset + payload.nodeCount * nodeSize + 4 }

    private var selectorBits: UInt32 { UInt32(shape.columnBits + 1) }

    @inline(__always)
    private func shortened(_ word: UInt32) -> UInt32 {
        if nodeSize == 4 { return word }
        return (word &>> (selectorBits &+ 8)) &<< selectorBits | word & shape.selectorMask
    }

    @inline(__always)
    private func lengthened(_ short: UInt32) -> UInt32 {
        if nodeSize == 4 { return short }
        return ((short & 0xFF_FFFF) &>> selectorBits) &<< (selectorBits &+ 8) | short & shape.selectorMask
    }

    /// For each number of levels below a leaf of one row, its kind; 256 where there is none.
    private func singles(_ forest: ForestPointers) -> [UInt16] {
        var singles = [UInt16](repeating: 256, count: shape.levels + 1)
        for kind in 0..<payload.kinds where forest.origins[kind].count == 1 {
            singles[shape.levels - Int(forest.origins[kind].depth)] = UInt16(truncatingIfNeeded: kind)
        }
        return singles
    }
}

extension ForestPacking {
    /// The short form of a plain one.
    func pack(_ plain: UnsafeRawBufferPointer) -> [UInt8] {
        let forest = ForestPointers(payload, plain)
        let singles = singles(forest)
        let greatestSize = leavesOffset + payload.nodeCount + shape.trees
        return [UInt8](unsafeUninitializedCapacity: greatestSize + 4) { bytes, count in
            let bytes = UnsafeMutableRawBufferPointer(bytes)
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: plain[..<payload.nodesOffset]))
            for place in payload.nodesOffset..<leavesOffset { bytes[place] = 0 }
            payload.writeHeader(to: bytes)
            let base = bytes.baseAddress.unsafelyUnwrapped
            var node = base + nodesOffset
            var leaf = base + leavesOffset
            var starts = [UInt64](repeating: 0, count: maskWords)
            for tree in 0..<shape.trees {
                let mask = base + masksOffset + tree * maskWords * 8
                starts.withUnsafeMutableBufferPointer { starts in
                    packNodes(forest.nodes + tree * shape.wordsPerTree, &node, mask, starts)
                    let leaves =
                        forest.leaves.assumingMemoryBound(to: UInt8.self) + tree * shape.leavesPerTree
                    let first = leaf
                    if packLeaves(leaves, starts, singles, listsAll: false, &leaf) { return }
                    leaf = first
                    _ = packLeaves(leaves, starts, singles, listsAll: true, &leaf)
                    mask.storeBytes(of: mask.load(as: UInt8.self) | 1, as: UInt8.self)
                }
            }
            // Four bytes are written for each node, the last one over the gap, which is zero.
            (base + leavesOffset - 4).storeBytes(of: 0, as: UInt32.self)
            count = leaf - base
        }
    }

    private func packNodes(
        _ words: UnsafePointer<UInt32>, _ node: inout UnsafeMutableRawPointer,
        _ mask: UnsafeMutableRawPointer,
        _ starts: UnsafeMutableBufferPointer<UInt64>
    ) {
        for word in starts.indices { starts[word] = word == 0 ? 1 : 0 }
        places.withUnsafeBufferPointer { places in
            for maskWord in 0..<maskWords {
                var bits: UInt64 = 0
                for number in maskWord &* 64..<min(maskWord &* 64 &+ 64, shape.leavesPerTree) where number > 0
                {
                    let place = places[number]
                    let word = words[Int(place.word)]
                    if word == ForestShape.noNode { continue }
                    bits |= 1 &<< UInt64(number & 63)
                    starts[Int(place.boundary &>> 6)] |= 1 &<< UInt64(place.boundary & 63)
                    node.storeBytes(of: shortened(word), as: UInt32.self)
                    node += nodeSize
                }
                (mask + maskWord &* 8).storeBytes(of: bits, as: UInt64.self)
            }
        }
    }

    /// - Returns: False if leaves that are not listed are not of one row; then all must be.
    private func packLeaves(
        _ leaves: UnsafePointer<UInt8>, _ starts: UnsafeMutableBufferPointer<UInt64>, _ singles: [UInt16],
        listsAll: Bool, _ target: inout UnsafeMutableRawPointer
    ) -> Bool {
        var isWhole = true
        LeafRanges(starts: starts, end: shape.leavesPerTree).visit { start, length in
            target.storeBytes(of: leaves[start], as: UInt8.self)
            let isListed = listsAll || length == 1
            target += isListed ? 1 : 0
            isWhole = isWhole && (isListed || singles[length.trailingZeroBitCount] == leaves[start])
        }
        return isWhole
    }
}

extension ForestPacking {
    /// Checks the short form and writes the plain one.
    func expand(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) -> ArtifactBytes {
        guard bytes.count > leavesOffset || (bytes.count == leavesOffset && shape.levels == 0) else {
            throw .invalidArtifact("\(bytes.count) bytes are fewer than its header describes")
        }
        let base = bytes.baseAddress.unsafelyUnwrapped  // not empty: the size was checked
        let masks = base.advanced(by: masksOffset).assumingMemoryBound(to: UInt64.self)
        let leaves = UnsafeRawBufferPointer(rebasing: bytes[leavesOffset...])
        try check(masks, leaves)
        // Leaves are written in steps of 16 bytes, the last ones past the end.
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: payload.size + 64, alignment: ArtifactBytes.alignment)
        nonisolated(unsafe) let owned = memory  // freed once, by the last owner
        let artifact = ArtifactBytes(UnsafeRawBufferPointer(rebasing: owned[..<payload.size])) {
            owned.deallocate()
        }
        memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<payload.nodesOffset]))
        let plain = memory.baseAddress.unsafelyUnwrapped
        let words = (plain + payload.nodesOffset).initializeMemory(
            as: UInt32.self, repeating: ForestShape.noNode, count: shape.trees * shape.wordsPerTree)
        guard writeNodes(masks, base + nodesOffset, to: words) else {
            throw .invalidArtifact("a node asks for a column that is not among the \(shape.columns)")
        }
        let singles = singles(ForestPointers(payload, bytes))
        guard writeLeaves(masks, leaves, singles, to: plain + payload.leavesOffset) else {
            throw .invalidArtifact("its nodes and leaves do not fit together")
        }
        return artifact
    }

    private func check(
        _ masks: UnsafePointer<UInt64>, _ leaves: UnsafeRawBufferPointer
    ) throws(DetectorError) {
        // Bits beyond a small tree's name no node. Bit 0 does not either.
        let possible = shape.leavesPerTree < 64 ? (1 as UInt64) << UInt64(shape.leavesPerTree) - 1 : .max
        var count = 0
        for word in 0..<shape.trees * maskWords {
            guard masks[word] & ~possible == 0 else {
                throw .invalidArtifact("there is a node where none can be")
            }
            count += (word % maskWords == 0 ? masks[word] & ~1 : masks[word]).nonzeroBitCount
        }
        guard count == payload.nodeCount else {
            throw .invalidArtifact("\(count) nodes, but its header says \(payload.nodeCount)")
        }
        var greatest: UInt8 = 0
        for leaf in 0..<leaves.count { greatest = max(greatest, leaves[leaf]) }
        guard greatest < payload.kinds else {
            throw .invalidArtifact("a leaf is of kind \(greatest) of \(payload.kinds)")
        }
    }

    /// - Returns: Whether all words name columns.
    private func writeNodes(
        _ masks: UnsafePointer<UInt64>, _ nodes: UnsafeRawPointer, to words: UnsafeMutablePointer<UInt32>
    ) -> Bool {
        let columnMask = shape.missingBit - 1
        var node = nodes
        var greatestColumn: UInt32 = 0
        var greatestWord: UInt32 = 0
        places.withUnsafeBufferPointer { places in
            for index in 0..<shape.trees &* maskWords {
                let tree = index / maskWords
                let first = index &- tree &* maskWords
                var rest = first == 0 ? masks[index] & ~1 : masks[index]
                while rest != 0 {
                    let word = lengthened(node.loadUnaligned(as: UInt32.self))
                    let place = places[first &* 64 &+ rest.trailingZeroBitCount]
                    words[tree &* shape.wordsPerTree &+ Int(place.word)] = word
                    greatestColumn = max(greatestColumn, word & columnMask)
                    greatestWord = max(greatestWord, word)
                    rest &= rest &- 1
                    node += nodeSize
                }
            }
        }
        return greatestColumn < shape.columns && greatestWord != ForestShape.noNode
    }

    /// - Returns: Whether there were as many leaves as the nodes ask for.
    private func writeLeaves(
        _ masks: UnsafePointer<UInt64>, _ leaves: UnsafeRawBufferPointer, _ singles: [UInt16],
        to target: UnsafeMutableRawPointer
    ) -> Bool {
        var starts = [UInt64](repeating: 0, count: maskWords)
        var leaf = 0
        var strange: UInt16 = 0
        starts.withUnsafeMutableBufferPointer { starts in
            for tree in 0..<shape.trees {
                let mask = masks + tree &* maskWords
                findStarts(mask, starts)
                let treeLeaves = target + tree &* shape.leavesPerTree
                let listsAll = mask[0] & 1 != 0
                LeafRanges(starts: starts, end: shape.leavesPerTree).visit { start, length in
                    let isListed = listsAll || length == 1
                    let listed = leaf < leaves.count ? UInt16(leaves[leaf]) : 256
                    let kind = isListed ? listed : singles[length.trailingZeroBitCount]
                    leaf &+= isListed ? 1 : 0
                    strange |= kind
                    let sixteen = SIMD16(repeating: UInt8(truncatingIfNeeded: kind))
                    (treeLeaves + start).storeBytes(of: sixteen, as: SIMD16<UInt8>.self)
                    var place = 16
                    while place < length {
                        (treeLeaves + (start &+ place)).storeBytes(of: sixteen, as: SIMD16<UInt8>.self)
                        place &+= 16
                    }
                }
            }
        }
        return strange < 256 && leaf == leaves.count
    }

    /// Every node's cut is where a leaf starts; so is the left end.
    @inline(__always)
    private func findStarts(_ mask: UnsafePointer<UInt64>, _ starts: UnsafeMutableBufferPointer<UInt64>) {
        for word in 0..<maskWords { starts[word] = word == 0 ? 1 : 0 }
        places.withUnsafeBufferPointer { places in
            for word in 0..<maskWords {
                var rest = word == 0 ? mask[word] & ~1 : mask[word]
                while rest != 0 {
                    let boundary = Int(places[word &* 64 &+ rest.trailingZeroBitCount].boundary)
                    starts[boundary &>> 6] |= 1 &<< UInt64(boundary & 63)
                    rest &= rest &- 1
                }
            }
        }
    }
}

/// The leaves of a tree: from each start to the next. 0 is a start.
private struct LeafRanges {
    let starts: UnsafeMutableBufferPointer<UInt64>
    let end: Int

    @inline(__always)
    func visit(_ body: (_ start: Int, _ length: Int) -> Void) {
        var start = 0
        var rest = starts[0] & ~1
        var word = 0
        while true {
            while rest != 0 {
                let next = word &* 64 &+ rest.trailingZeroBitCount
                body(start, next &- start)
                start = next
                rest &= rest &- 1
            }
            word &+= 1
            if word == starts.count { break }
            rest = starts[word]
        }
        body(start, end &- start)
    }
}
