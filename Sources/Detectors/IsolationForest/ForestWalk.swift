import CForestKernels

/// Ways to walk down trees; they end in the same leaves. Vectors compare several nodes of a block at once, the portable
/// walk node by node.
struct ForestWalk: Sendable {
    let unit: VectorUnit

    /// What this processor does best.
    static let best = ForestWalk(unit: .inUse)
    static let portable = ForestWalk(unit: .portable)

    /// Walks down `count` times: walk i reads the tree at `words + i * wordStride` and the keys at
    /// `keys + i * keyStride`, and writes the number of the leaf where it ends.
    ///
    /// - Parameter isEntered: `positions` say where the walks have left the first block (`enter`).
    @inline(__always)
    func callAsFunction(
        _ shape: ForestShape, words: UnsafePointer<UInt32>, wordStride: Int, keys: UnsafePointer<UInt32>,
        keyStride: Int, anyMissing: Bool, count: Int, positions: UnsafeMutablePointer<UInt32>,
        isEntered: Bool = false
    ) {
        // Without missing values the two halves of the keys are the same, and the lower one is enough.
        let keyCount = UInt32(anyMissing ? shape.keysPerRow : shape.keysPerRow / 2)
        let unit = forest_walking_unit(unit, keyCount)
        if unit != .portable && shape.stages > 0 {
            forest_walk(
                words, wordStride, UInt32(shape.stages), UInt32(shape.firstLevels), keys, keyStride, keyCount,
                count, positions, isEntered ? 1 : 0, unit)
        } else {
            PortableWalk(shape: shape, mask: shape.selectorMask, isEntered: isEntered).walk(
                words, wordStride, keys, keyStride, count: count, positions: positions)
        }
    }

    /// Takes many rows through the first block of one tree; there has to be one.
    @inline(__always)
    func enter(
        _ shape: ForestShape, words: UnsafePointer<UInt32>, _ byColumn: KeyLanes, anyMissing: Bool,
        count: Int, positions: UnsafeMutablePointer<UInt32>
    ) {
        let keyCount = UInt32(anyMissing ? shape.keysPerRow : shape.keysPerRow / 2)
        forest_enter(
            words, UInt32(shape.firstLevels), byColumn.keys, byColumn.stride, keyCount, count, positions,
            unit)
    }
}

private typealias Words = UnsafePointer<UInt32>
private typealias Four<Element> = (Element, Element, Element, Element)

private struct PortableWalk {
    let shape: ForestShape
    let mask: UInt32
    let isEntered: Bool

    /// Four walks in step, so that their loads overlap; then the rest one by one.
    @inline(__always)
    func walk(
        _ words: Words, _ wordStride: Int, _ keys: Words, _ keyStride: Int, count: Int,
        positions: UnsafeMutablePointer<UInt32>
    ) {
        var words = words
        var keys = keys
        var walk = 0
        while walk &+ 4 <= count {
            let leaves = leaves(
                (words, words + wordStride, words + 2 &* wordStride, words + 3 &* wordStride),
                (keys, keys + keyStride, keys + 2 &* keyStride, keys + 3 &* keyStride),
                isEntered
                    ? (positions[walk], positions[walk &+ 1], positions[walk &+ 2], positions[walk &+ 3])
                    : (0, 0, 0, 0))
            positions[walk] = UInt32(truncatingIfNeeded: leaves.0)
            positions[walk &+ 1] = UInt32(truncatingIfNeeded: leaves.1)
            positions[walk &+ 2] = UInt32(truncatingIfNeeded: leaves.2)
            positions[walk &+ 3] = UInt32(truncatingIfNeeded: leaves.3)
            walk &+= 4
            words += 4 &* wordStride
            keys += 4 &* keyStride
        }
        while walk < count {
            let entered = isEntered ? positions[walk] : 0
            let leaves = leaves(
                (words, words, words, words), (keys, keys, keys, keys), (entered, entered, entered, entered))
            positions[walk] = UInt32(truncatingIfNeeded: leaves.0)
            walk &+= 1
            words += wordStride
            keys += keyStride
        }
    }

    /// Where four walks end, counted from the left.
    ///
    /// - Parameter entered: With `isEntered`, where they have left the first block.
    @inline(__always)
    private func leaves(_ trees: Four<Words>, _ keys: Four<Words>, _ entered: Four<UInt32>) -> Four<Int> {
        if shape.stages == 0 { return (0, 0, 0, 0) }
        var at = (Int(entered.0), Int(entered.1), Int(entered.2), Int(entered.3))
        if !isEntered {
            let shift = ForestShape.levelsPerBlock &- shape.firstLevels
            let first = exits(trees, keys)
            at = (first.0 &>> shift, first.1 &>> shift, first.2 &>> shift, first.3 &>> shift)
        }
        var layer = ForestShape.wordsPerBlock
        var blocks = 1 &<< shape.firstLevels
        for _ in 1..<shape.stages {
            at = (at.0 &* 16, at.1 &* 16, at.2 &* 16, at.3 &* 16)
            let exits = exits(
                (
                    trees.0 + (layer &+ at.0), trees.1 + (layer &+ at.1), trees.2 + (layer &+ at.2),
                    trees.3 + (layer &+ at.3)
                ), keys)
            at = (at.0 &+ exits.0, at.1 &+ exits.1, at.2 &+ exits.2, at.3 &+ exits.3)
            layer &+= blocks &* ForestShape.wordsPerBlock
            blocks = blocks &* ForestShape.wordsPerBlock
        }
        return at
    }

    /// Where four walks leave their blocks, 0 to 15.
    @inline(__always)
    private func exits(_ blocks: Four<Words>, _ keys: Four<Words>) -> Four<Int> {
        let half = (
            goesRight(blocks.0[15], keys.0) &* 8, goesRight(blocks.1[15], keys.1) &* 8,
            goesRight(blocks.2[15], keys.2) &* 8, goesRight(blocks.3[15], keys.3) &* 8
        )
        let words = (blocks.0 + half.0, blocks.1 + half.1, blocks.2 + half.2, blocks.3 + half.3)
        var index = (0, 0, 0, 0)
        for _ in 0..<3 {
            index = (
                index.0 &* 2 &+ 1 &+ goesRight(words.0[index.0], keys.0),
                index.1 &* 2 &+ 1 &+ goesRight(words.1[index.1], keys.1),
                index.2 &* 2 &+ 1 &+ goesRight(words.2[index.2], keys.2),
                index.3 &* 2 &+ 1 &+ goesRight(words.3[index.3], keys.3)
            )
        }
        return (
            half.0 &+ index.0 &- 7, half.1 &+ index.1 &- 7, half.2 &+ index.2 &- 7, half.3 &+ index.3 &- 7
        )
    }

    @inline(__always)
    private func goesRight(_ word: UInt32, _ keys: Words) -> Int {
        word < keys[Int(truncatingIfNeeded: word & mask)] ? 1 : 0
    }
}
