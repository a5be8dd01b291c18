/// Where a forest's nodes and leaves lie in memory. Nothing is pointed to: a node's place follows from the way to it.
///
/// Every tree is a complete binary tree of `levels` levels. A node is one 32-bit word; `levels` is at most 16.
/// A walk always takes `levels` steps: below a leaf that lies higher, every way ends in a copy of that leaf.
/// So no index is ever read from the artifact, and a damaged one cannot lead a walk out of bounds.
///
/// Four levels (15 nodes) share a block of 16 words, one cache line, in the order of a heap with the root at
/// word 1; word 0 is unused. The first block holds the levels that four does not divide. A walk of 8 levels
/// touches two lines and that of its leaf; a plain heap would touch six.
struct ForestShape: Sendable {
    static let wordsPerBlock = 16
    static let levelsPerBlock = 4
    static let maximumLevels = 16
    static let maximumColumns = 1 << 15

    let columns: Int
    let trees: Int
    let levels: Int
    /// Levels in the first block, 0 to 4.
    let firstLevels: Int
    /// Layers of blocks.
    let stages: Int
    let wordsPerTree: Int
    let leavesPerTree: Int
    /// Low bits of a node that say which key it compares: 2 x feature + 1 if missing values go right.
    let selectorMask: UInt32

    init(columns: Int, trees: Int, levels: Int) {
        self.columns = columns
        self.trees = trees
        self.levels = levels
        leavesPerTree = 1 << levels
        stages = (levels + Self.levelsPerBlock - 1) / Self.levelsPerBlock
        firstLevels = levels == 0 ? 0 : levels - (stages - 1) * Self.levelsPerBlock
        var blocks = levels == 0 ? 0 : 1
        var level = firstLevels
        while level < levels {
            blocks += 1 << level
            level += Self.levelsPerBlock
        }
        wordsPerTree = blocks * Self.wordsPerBlock
        selectorMask = UInt32((2 * columns - 1).nextPowerOfTwoMinusOne)
    }

    /// The word of the node at `position` (0 is leftmost) of `level`.
    func word(level: Int, position: Int) -> Int {
        if level < firstLevels { return 1 << level + position }
        var first = 1
        var start = firstLevels
        while level >= start + Self.levelsPerBlock {
            first += 1 << start
            start += Self.levelsPerBlock
        }
        let inner = level - start
        let block = first + position >> inner
        return block * Self.wordsPerBlock + 1 << inner + position & (1 << inner - 1)
    }
}

extension Int {
    /// The smallest 2^k - 1 that is not below this number.
    fileprivate var nextPowerOfTwoMinusOne: Int {
        self <= 0 ? 0 : (1 << (Int.bitWidth - leadingZeroBitCount)) - 1
    }
}
