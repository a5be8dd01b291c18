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
            let cutter = LevelCutter(
                depth, shape, level, nextLevel, buffers, weights, loops, rule, sample, leaves, words)
            cutter.findRanges(count, &generator)
            cutter.findThresholds(count)
            if depth == shape.levels - 1 {
                cutter.endWithLeaves(count)
            } else {
                count = cutter.part(count)
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
}
