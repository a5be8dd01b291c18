/// Where a forest's nodes and leaves lie in memory. Nothing is pointed to: a node's place follows from the way to it.
///
/// Every tree is a complete binary tree of `levels` levels. A node is one 32-bit word, its low bits the selector of
/// the key that it compares with the whole word: a row whose key is greater goes right. A walk always takes
/// `levels` steps: below a leaf that lies higher, every way ends in a copy of that leaf. So no index is ever read
/// from the artifact, and a damaged one cannot lead a walk out of bounds.
///
/// Four levels (15 nodes) share a block of 16 words, one cache line: words 0 to 6 are the left subtree of the
/// block's root in the order of a heap, words 8 to 14 the right one, word 15 is the root, and word 7 is unused.
/// With the comparisons of all words as 16 bits, the byte that bit 15 chooses, 0 or 1, names the exit. The first
/// block holds the levels that four does not divide. A walk of 8 levels touches two lines and that of its leaf;
/// a plain heap would touch six.
struct ForestShape: Sendable {
    static let wordsPerBlock = 16
    static let levelsPerBlock = 4
    static let maximumLevels = 16
    static let maximumColumns = 1 << 15
    /// A word that sends every row left: above all keys. Fills the places without a node.
    static let noNode = UInt32.max

    let columns: Int
    let trees: Int
    let levels: Int
    /// Levels in the first block, 0 to 4.
    let firstLevels: Int
    /// Layers of blocks.
    let stages: Int
    let wordsPerTree: Int
    let leavesPerTree: Int
    /// Low bits of a word that name the column; at least 4, so that 16 columns fill a vector.
    let columnBits: Int

    /// Bits between the selector and the threshold that are zero, 0 or 8: thresholds that fit in three bytes
    /// together with their selectors.
    let spareBits: Int

    init(columns: Int, trees: Int, levels: Int, spareBits: Int = 0) {
        self.spareBits = spareBits
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
        columnBits = max(4, Int.bitWidth - (columns - 1).leadingZeroBitCount)
    }

    /// Low bits of a word: the column, and above it `missingBit`.
    var selectorMask: UInt32 { 2 * missingBit - 1 }
    /// Set in a word that sends missing values right: it selects the second half of a row's keys.
    var missingBit: UInt32 { 1 << UInt32(columnBits) }
    /// The bits of keys and thresholds that count; the others are zero in keys.
    var keyMask: UInt32 { ~0 << UInt32(columnBits + 1 + spareBits) }
    /// Two keys for each column, rounded up so that every selector has one.
    var keysPerRow: Int { 2 << columnBits }

    /// The word of the node at `position` (0 is leftmost) of `level`.
    func word(level: Int, position: Int) -> Int { place(ofLevel: level).word(position) }

    func place(ofLevel level: Int) -> LevelPlace {
        if level < firstLevels { return LevelPlace(firstWord: 0, levelInBlock: level) }
        var blocks = 1
        var start = firstLevels
        while level >= start + Self.levelsPerBlock {
            blocks += 1 << start
            start += Self.levelsPerBlock
        }
        return LevelPlace(firstWord: blocks * Self.wordsPerBlock, levelInBlock: level - start)
    }

    /// Where the nodes of one level are.
    struct LevelPlace {
        let firstWord: Int
        /// 0 to 3.
        let levelInBlock: Int

        @inline(__always)
        func word(_ position: Int) -> Int {
            let block = firstWord &+ (position &>> levelInBlock) &* ForestShape.wordsPerBlock
            if levelInBlock == 0 { return block &+ 15 }
            let half = 1 &<< (levelInBlock &- 1)
            return block &+ (position & half != 0 ? 8 : 0) &+ half &- 1 &+ position & (half &- 1)
        }
    }
}
