/// Memory for growing trees, allocated once.
final class GrowerBuffers {
    /// Rows after the last one that loops may read, and keys that they may write: they take eight at a time.
    static let excess = 7

    struct Node {
        /// The place of its first row.
        var first: UInt32
        var count: UInt32
        /// From the left, at its level.
        var position: UInt32
        /// Columns that may still vary.
        var columns: UInt32
    }

    struct Cut {
        var low: Int32
        var high: Int32
        var column: UInt32
        /// Says where between `low` and `high` to cut.
        var random: UInt32
        /// Every key that is not above it goes left.
        var word: Int32
    }

    struct Level {
        let nodes: UnsafeMutablePointer<Node>
        /// For each node, the columns that may still vary, one bit each.
        let columns: UnsafeMutablePointer<UInt64>
        /// Places in a column of keys; those of a node are together.
        let rows: UnsafeMutablePointer<UInt16>

        init(sampleSize: Int, wordsOfColumns: Int) {
            nodes = .allocate(capacity: sampleSize)
            columns = .allocate(capacity: sampleSize * wordsOfColumns)
            rows = .allocate(capacity: sampleSize + GrowerBuffers.excess)
            rows.initialize(repeating: 0, count: sampleSize + GrowerBuffers.excess)
        }
    }

    let levels: (Level, Level)
    /// One for each node of a level.
    let cuts: UnsafeMutablePointer<Cut>
    /// Positions of the nodes of one row.
    let singles: UnsafeMutablePointer<UInt32>
    /// For each node of a level its rows' keys in the column that is cut, in the same places as the rows.
    let nodeKeys: UnsafeMutablePointer<Int32>

    /// For `GapFinder`.
    let quantities: UnsafeMutablePointer<Int32>
    let candidates: UnsafeMutablePointer<Int32>

    init(sampleSize: Int, wordsOfColumns: Int) {
        levels = (
            Level(sampleSize: sampleSize, wordsOfColumns: wordsOfColumns),
            Level(sampleSize: sampleSize, wordsOfColumns: wordsOfColumns)
        )
        cuts = .allocate(capacity: sampleSize)
        singles = .allocate(capacity: sampleSize)
        quantities = .allocate(capacity: sampleSize)
        candidates = .allocate(capacity: 3 * GapFinder.candidates)
        nodeKeys = .allocate(capacity: sampleSize + Self.excess)
    }

    deinit {
        for level in [levels.0, levels.1] {
            level.nodes.deallocate()
            level.columns.deallocate()
            level.rows.deallocate()
        }
        cuts.deallocate()
        singles.deallocate()
        quantities.deallocate()
        candidates.deallocate()
        nodeKeys.deallocate()
    }
}
