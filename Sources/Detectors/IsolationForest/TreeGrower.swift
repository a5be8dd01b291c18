import CForestKernels
import DetectorAPI

/// Grows one tree after another by random cuts, as Liu et al. 2008, algorithm 2.
///
/// A level at a time, and in three passes over its nodes: ranges, thresholds, parting. A node's range, threshold
/// and parting wait for each other; those of different nodes do not, and the processor works on several at once
/// if they stand together.
struct TreeGrower {
    /// What guides the cuts of a tree.
    enum Rule: Sendable {
        /// Nothing: any column, any place.
        case none
        /// Columns by the weight of their tails, any place.
        case tails
        /// Any column, at gaps in it on the first levels.
        case gaps
    }

    private typealias Node = GrowerBuffers.Node

    private let shape: ForestShape
    private let sampleSize: Int
    private let wordsOfColumns: Int
    private let buffers: GrowerBuffers
    private let loops: GrowerLoops
    private let weights: ColumnWeights
    private var treesSinceWeighing = 0
    /// The level being cut, and the one below.
    private var level: GrowerBuffers.Level
    private var nextLevel: GrowerBuffers.Level

    init(_ shape: ForestShape, sampleSize: Int, loops: GrowerLoops = .best) {
        self.shape = shape
        self.sampleSize = sampleSize
        self.loops = loops
        wordsOfColumns = (shape.columns + 63) / 64
        buffers = GrowerBuffers(sampleSize: sampleSize, wordsOfColumns: wordsOfColumns)
        weights = ColumnWeights(columns: shape.columns, sampleSize: sampleSize)
        level = buffers.levels.0
        nextLevel = buffers.levels.1
    }

    /// Grows a tree.
    ///
    /// - Parameters:
    ///   - chosen: Rows of the sample, nil if they are the sample's keys from the first to the last.
    ///   - columns: One bit for each column that may be cut.
    ///   - words: `wordsPerTree` places, all `noNode`.
    mutating func grow(
        _ sample: SampleKeys, _ chosen: [UInt32]?, _ rule: Rule, columns: [UInt64], _ leaves: LeafWriter,
        _ generator: inout SeededGenerator, words: UnsafeMutablePointer<UInt32>
    ) {
        start(chosen, columns)
        if rule == .tails { weigh(sample) }
        if sampleSize == 1 { return leaves.write(depth: 0, position: 0, count: 1) }
        var count = 1
        for depth in 0..<shape.levels {
            for index in 0..<count { findRange(sample, index, rule, &generator) }
            if rule == .gaps && depth < GapFinder.levels {
                for index in 0..<count { findGap(index) }
            } else {
                for index in 0..<count { drawThreshold(index) }
            }
            if sample.hasMissing {
                for index in 0..<count { sendMissing(level.nodes[index], buffers.cuts[index].word) }
            }
            let place = shape.place(ofLevel: depth)
            if depth == shape.levels - 1 {
                for index in 0..<count { endWithLeaves(index, leaves, place, words) }
            } else {
                count = part(count, leaves, depth: depth, place, words)
                swap(&level, &nextLevel)
            }
        }
    }

    /// Now and then; the weights of one sample serve the trees after it as well.
    private mutating func weigh(_ sample: SampleKeys) {
        if treesSinceWeighing % 8 == 0 { weights.measure(sample, rows: level.rows, count: sampleSize) }
        treesSinceWeighing += 1
    }

    private func start(_ chosen: [UInt32]?, _ columns: [UInt64]) {
        if let chosen {
            chosen.withUnsafeBufferPointer { chosen in
                for place in 0..<sampleSize { level.rows[place] = UInt16(truncatingIfNeeded: chosen[place]) }
            }
        } else {
            for place in 0..<sampleSize { level.rows[place] = UInt16(truncatingIfNeeded: place) }
        }
        var count = 0
        for word in 0..<wordsOfColumns {
            level.columns[word] = columns[word]
            count += columns[word].nonzeroBitCount
        }
        level.nodes[0] = Node(first: 0, count: UInt32(sampleSize), position: 0, columns: UInt32(count))
    }

    /// Draws columns until one varies in the node, and keeps its range; none is left if `columns` becomes 0.
    @inline(__always)
    private func findRange(
        _ sample: SampleKeys, _ index: Int, _ rule: Rule, _ generator: inout SeededGenerator
    ) {
        while level.nodes[index].columns > 0 {
            let node = level.nodes[index]
            let random = generator.next()
            let column = pick(index, rule, UInt32(truncatingIfNeeded: random >> 32))
            let range = loops.range(
                keys: sample.column(column), rows: level.rows + Int(node.first), count: Int(node.count),
                nodeKeys: buffers.nodeKeys + Int(node.first))
            buffers.cuts[index] = GrowerBuffers.Cut(
                low: range.low, high: range.high, column: UInt32(truncatingIfNeeded: column),
                random: UInt32(truncatingIfNeeded: random), word: 0)
            if range.low < range.high {
                if range.low != SampleKeys.missing { return }
                let present = leastPresent(node)
                buffers.cuts[index].low = present
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
    private func pick(_ index: Int, _ rule: Rule, _ random: UInt32) -> Int {
        let count = Int(level.nodes[index].columns)
        if rule == .tails {
            if count == shape.columns { return weights.pick(random) }
            return weights.pick(random, among: level.columns + index &* wordsOfColumns, words: wordsOfColumns)
        }
        var rank = Int(truncatingIfNeeded: (UInt64(random) &* UInt64(truncatingIfNeeded: count)) >> 32)
        if count == shape.columns { return rank }
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
        let nodeKeys = buffers.nodeKeys + Int(node.first)
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
        let cut = buffers.cuts[index]
        let threshold = cut.threshold(Double(cut.random) * 0x1p-32, keyMask: keyMask)
        buffers.cuts[index].word = threshold | Int32(bitPattern: cut.column)
    }

    private func findGap(_ index: Int) {
        let node = level.nodes[index]
        if node.columns == 0 { return }
        let cut = buffers.cuts[index]
        let threshold = GapFinder(buffers, loops).best(
            cut, buffers.nodeKeys + Int(node.first), count: Int(node.count), keyMask: keyMask)
        buffers.cuts[index].word = threshold | Int32(bitPattern: cut.column)
    }

    private var keyMask: Int32 { Int32(bitPattern: shape.keyMask) }

    /// Moves the nodes' rows to their children, and writes the words and the leaves above the last level.
    ///
    /// - Returns: The number of nodes of the next level.
    @inline(__always)
    private func part(
        _ count: Int, _ leaves: LeafWriter, depth: Int, _ place: ForestShape.LevelPlace,
        _ words: UnsafeMutablePointer<UInt32>
    ) -> Int {
        var next = 0
        var singles = 0
        for index in 0..<count {
            let node = level.nodes[index]
            if node.columns == 0 {
                leaves.write(depth: depth, position: Int(node.position), count: Int(node.count))
                continue
            }
            let left = loops.part(
                rows: level.rows + Int(node.first), nodeKeys: buffers.nodeKeys + Int(node.first),
                count: Int(node.count), word: buffers.cuts[index].word,
                into: nextLevel.rows + Int(node.first))
            let leftCount = UInt32(truncatingIfNeeded: left)
            words[place.word(Int(node.position))] = word(index, left: leftCount)
            addChild(index, node.first, leftCount, 2 &* node.position, &next, &singles)
            addChild(
                index, node.first &+ leftCount, node.count &- leftCount, 2 &* node.position &+ 1, &next,
                &singles)
        }
        leaves.writeSingles(depth: depth + 1, positions: buffers.singles, count: singles)
        return next
    }

    /// Adds a node to the next level, or, if it has one row, to the leaves.
    ///
    /// It goes to both lists, and one of the lists then grows: no branch that can be guessed wrong.
    @inline(__always)
    private func addChild(
        _ parent: Int, _ first: UInt32, _ count: UInt32, _ position: UInt32, _ next: inout Int,
        _ singles: inout Int
    ) {
        nextLevel.nodes[next] = Node(
            first: first, count: count, position: position, columns: level.nodes[parent].columns)
        copyColumns(level, parent, to: nextLevel, next)
        buffers.singles[singles] = position
        // 1 for a node of one row. Written as a comparison, the compiler makes a branch of it.
        let isSingle = Int(truncatingIfNeeded: (count &- 2) &>> 31)
        singles &+= isSingle
        next &+= 1 &- isSingle
    }

    /// The last level: children are leaves whatever they hold, and no row needs to move.
    @inline(__always)
    private func endWithLeaves(
        _ index: Int, _ leaves: LeafWriter, _ place: ForestShape.LevelPlace,
        _ words: UnsafeMutablePointer<UInt32>
    ) {
        let node = level.nodes[index]
        let position = Int(node.position)
        if node.columns == 0 {
            leaves.write(depth: shape.levels - 1, position: position, count: Int(node.count))
            return
        }
        let right = loops.countAbove(
            buffers.cuts[index].word, buffers.nodeKeys + Int(node.first), Int(node.count))
        words[place.word(position)] = word(index, left: node.count &- UInt32(truncatingIfNeeded: right))
        leaves.writeLast(position: 2 &* position, count: Int(node.count) &- right)
        leaves.writeLast(position: 2 &* position &+ 1, count: right)
    }

    /// Has missing values go with the majority, so that a gap alone never looks unusual.
    private func sendMissing(_ node: Node, _ word: Int32) {
        let nodeKeys = buffers.nodeKeys + Int(node.first)
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
        return UInt32(bitPattern: buffers.cuts[index].word) ^ 0x8000_0000
            | (right > left ? shape.missingBit : 0)
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
