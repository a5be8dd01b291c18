import CForestKernels
import DetectorAPI

/// Cuts the nodes of one level of one tree.
///
/// All it has are constants and pointers, so that the loops hold them in registers and count no references: what is
/// read through the grower would be read again after every write. Valid as long as the grower's memory.
struct LevelCutter {
    private typealias Node = GrowerBuffers.Node

    private let depth: Int
    private let levels: Int
    private let place: ForestShape.LevelPlace
    private let columns: Int
    private let wordsOfColumns: Int
    private let keyMask: Int32
    private let missingBit: UInt32
    private let level: GrowerBuffers.Level
    private let nextLevel: GrowerBuffers.Level
    private let cuts: UnsafeMutablePointer<GrowerBuffers.Cut>
    private let nodeKeys: UnsafeMutablePointer<Int32>
    private let singles: UnsafeMutablePointer<UInt32>
    private let picker: ColumnPicker
    private let gaps: GapFinder
    private let loops: GrowerLoops
    private let rule: TreeGrower.Rule
    private let keys: UnsafePointer<Int32>
    private let keysPerColumn: Int
    private let hasMissing: Bool
    private let leaves: LeafWriter
    private let words: UnsafeMutablePointer<UInt32>

    init(
        _ depth: Int, _ shape: ForestShape, _ level: GrowerBuffers.Level, _ nextLevel: GrowerBuffers.Level,
        _ buffers: GrowerBuffers, _ weights: ColumnWeights, _ loops: GrowerLoops, _ rule: TreeGrower.Rule,
        _ sample: SampleKeys, _ leaves: LeafWriter, _ words: UnsafeMutablePointer<UInt32>
    ) {
        self.depth = depth
        levels = shape.levels
        place = shape.place(ofLevel: depth)
        columns = shape.columns
        wordsOfColumns = (shape.columns + 63) / 64
        keyMask = Int32(bitPattern: shape.keyMask)
        missingBit = shape.missingBit
        self.level = level
        self.nextLevel = nextLevel
        cuts = buffers.cuts
        nodeKeys = buffers.nodeKeys
        singles = buffers.singles
        picker = weights.picker
        gaps = GapFinder(buffers, loops)
        self.loops = loops
        self.rule = rule
        keys = sample.column(0)
        keysPerColumn = sample.capacity
        hasMissing = sample.hasMissing
        self.leaves = leaves
        self.words = words
    }

    /// Draws the columns, and finds the ranges of their keys.
    func findRanges(_ count: Int, _ generator: inout SeededGenerator) {
        var local = generator
        for index in 0..<count { findRange(index, &local) }
        generator = local
    }

    func findThresholds(_ count: Int) {
        if rule == .gaps && depth < GapFinder.levels {
            for index in 0..<count { findGap(index) }
        } else {
            for index in 0..<count { drawThreshold(index) }
        }
        if hasMissing {
            for index in 0..<count { sendMissing(level.nodes[index], cuts[index].word) }
        }
    }

    /// Draws columns until one varies in the node, and keeps its range; none is left if `columns` becomes 0.
    @inline(__always)
    private func findRange(_ index: Int, _ generator: inout SeededGenerator) {
        while level.nodes[index].columns > 0 {
            let node = level.nodes[index]
            let random = generator.next()
            let column = pick(index, UInt32(truncatingIfNeeded: random >> 32))
            let range = loops.range(
                keys: keys + column &* keysPerColumn, rows: level.rows + Int(node.first),
                count: Int(node.count),
                nodeKeys: nodeKeys + Int(node.first))
            cuts[index] = GrowerBuffers.Cut(
                low: range.low, high: range.high, column: UInt32(truncatingIfNeeded: column),
                random: UInt32(truncatingIfNeeded: random), word: 0)
            if range.low < range.high {
                if range.low != SampleKeys.missing { return }
                let present = leastPresent(node)
                cuts[index].low = present
                if present < range.high { return }
            }
            forget(column, index)
        }
    }

    /// A column that does not vary in a node does not vary below it either.
    private func forget(_ column: Int, _ index: Int) {
        level.columns[index &* wordsOfColumns &+ column / 64] &= ~(1 << UInt64(column % 64))
        level.nodes[index].columns &-= 1
    }

    /// One of the node's columns, each as likely, or by weight.
    @inline(__always)
    private func pick(_ index: Int, _ random: UInt32) -> Int {
        let count = Int(level.nodes[index].columns)
        if rule == .tails {
            if count == columns { return picker.pick(random) }
            return picker.pick(random, among: level.columns + index &* wordsOfColumns, words: wordsOfColumns)
        }
        var rank = Int(truncatingIfNeeded: (UInt64(random) &* UInt64(truncatingIfNeeded: count)) >> 32)
        if count == columns { return rank }
        var word = index &* wordsOfColumns
        while rank >= level.columns[word].nonzeroBitCount {
            rank &-= level.columns[word].nonzeroBitCount
            word &+= 1
        }
        var bits = level.columns[word]
        for _ in 0..<rank { bits &= bits &- 1 }
        return (word &- index &* wordsOfColumns) &* 64 &+ bits.trailingZeroBitCount
    }

    private func leastPresent(_ node: Node) -> Int32 {
        let nodeKeys = self.nodeKeys + Int(node.first)
        var least = Int32.max
        for place in 0..<Int(node.count) where nodeKeys[place] != SampleKeys.missing {
            least = min(least, nodeKeys[place])
        }
        return least
    }

    /// A threshold uniform between two values, with the column in its low bits; keys have zeros there, so those
    /// bits decide nothing.
    @inline(__always)
    private func drawThreshold(_ index: Int) {
        let cut = cuts[index]
        let threshold = cut.threshold(Double(cut.random) * 0x1p-32, keyMask: keyMask)
        cuts[index].word = threshold | Int32(bitPattern: cut.column)
    }

    private func findGap(_ index: Int) {
        let node = level.nodes[index]
        if node.columns == 0 { return }
        let cut = cuts[index]
        let threshold = gaps.best(
            cut, nodeKeys + Int(node.first), count: Int(node.count), keyMask: keyMask)
        cuts[index].word = threshold | Int32(bitPattern: cut.column)
    }

    /// Moves the nodes' rows to their children, and writes the words and the leaves above the last level.
    ///
    /// - Returns: The number of nodes of the next level.
    func part(_ count: Int) -> Int {
        var next = 0
        var single = 0
        for index in 0..<count {
            let node = level.nodes[index]
            if node.columns == 0 {
                leaves.write(depth: depth, position: Int(node.position), count: Int(node.count))
                continue
            }
            let left = loops.part(
                rows: level.rows + Int(node.first), nodeKeys: nodeKeys + Int(node.first),
                count: Int(node.count), word: cuts[index].word,
                into: nextLevel.rows + Int(node.first))
            let leftCount = UInt32(truncatingIfNeeded: left)
            words[place.word(Int(node.position))] = word(index, left: leftCount)
            addChild(index, node.first, leftCount, 2 &* node.position, &next, &single)
            addChild(
                index, node.first &+ leftCount, node.count &- leftCount, 2 &* node.position &+ 1, &next,
                &single)
        }
        leaves.writeSingles(depth: depth + 1, positions: singles, count: single)
        return next
    }

    /// Adds a node to the next level, or, if it has one row, to the leaves.
    ///
    /// It goes to both lists, and one of the lists then grows: no branch that can be guessed wrong.
    @inline(__always)
    private func addChild(
        _ parent: Int, _ first: UInt32, _ count: UInt32, _ position: UInt32, _ next: inout Int,
        _ single: inout Int
    ) {
        nextLevel.nodes[next] = Node(
            first: first, count: count, position: position, columns: level.nodes[parent].columns)
        copyColumns(level, parent, to: nextLevel, next)
        singles[single] = position
        // 1 for a node of one row. Written as a comparison, the compiler makes a branch of it.
        let isSingle = Int(truncatingIfNeeded: (count &- 2) &>> 31)
        single &+= isSingle
        next &+= 1 &- isSingle
    }

    /// The last level: children are leaves whatever they hold, and no row needs to move.
    func endWithLeaves(_ count: Int) {
        for index in 0..<count { endWithLeaves(node: index) }
    }

    @inline(__always)
    private func endWithLeaves(node index: Int) {
        let node = level.nodes[index]
        let position = Int(node.position)
        if node.columns == 0 {
            leaves.write(depth: levels - 1, position: position, count: Int(node.count))
            return
        }
        let right = loops.countAbove(
            cuts[index].word, nodeKeys + Int(node.first), Int(node.count))
        words[place.word(position)] = word(index, left: node.count &- UInt32(truncatingIfNeeded: right))
        leaves.writeLast(position: 2 &* position, count: Int(node.count) &- right)
        leaves.writeLast(position: 2 &* position &+ 1, count: right)
    }

    /// Has missing values go with the majority, so that a gap alone never looks unusual.
    private func sendMissing(_ node: Node, _ word: Int32) {
        let nodeKeys = self.nodeKeys + Int(node.first)
        let count = Int(node.count)
        var right = 0
        var missing = 0
        for place in 0..<count {
            right &+= nodeKeys[place] > word ? 1 : 0
            missing &+= nodeKeys[place] == SampleKeys.missing ? 1 : 0
        }
        guard right > count &- missing &- right else { return }
        // The least key becomes the greatest.
        for place in 0..<count where nodeKeys[place] == SampleKeys.missing { nodeKeys[place] = Int32.max }
    }

    /// A node's word in the tree: the threshold as an unsigned key, and where missing values go.
    @inline(__always)
    private func word(_ index: Int, left: UInt32) -> UInt32 {
        let right = level.nodes[index].count &- left
        return UInt32(bitPattern: cuts[index].word) ^ 0x8000_0000
            | (right > left ? missingBit : 0)
    }

    @inline(__always)
    private func copyColumns(
        _ source: GrowerBuffers.Level, _ index: Int, to target: GrowerBuffers.Level, _ place: Int
    ) {
        if wordsOfColumns == 1 {
            target.columns[place] = source.columns[index]
            return
        }
        for word in 0..<wordsOfColumns {
            target.columns[place &* wordsOfColumns &+ word] =
                source.columns[index &* wordsOfColumns &+ word]
        }
    }
}
