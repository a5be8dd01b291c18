/// A forest of isolation trees as plain data: what a model gives away and a detector takes in, for exchange with other
/// tools.
///
/// The score of a row is -2^(-h / normaliser), where h is the mean over the trees of the path length of the leaf
/// where the row ends (F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008, equation 2, negated).
public struct IsolationTrees: Sendable, Hashable {
    /// Features of a row.
    public var columns: Int
    /// Training rows of a tree.
    public var sampleSize: Int
    /// c(sample size), by which path lengths are divided; 0: every score is -0.5.
    public var normaliser: Double
    /// Each tree's nodes, the root first and every child after its parent.
    public var trees: [[IsolationNode]]
    /// How the trees cut columns of categories; empty where they cut values alone.
    public var orders: [CategoryOrder]

    public init(
        columns: Int, sampleSize: Int, normaliser: Double, trees: [[IsolationNode]],
        orders: [CategoryOrder] = []
    ) {
        self.columns = columns
        self.sampleSize = sampleSize
        self.normaliser = normaliser
        self.trees = trees
        self.orders = orders
    }

    /// A column of categories as a column of numbers: in place of a category's code trees compare its place.
    public struct CategoryOrder: Sendable, Hashable {
        /// What cuts call it: `column` itself, or a number from `columns` on.
        public var cutColumn: Int
        /// Of the row.
        public var column: Int
        /// For each code. Any other code is missing.
        public var places: [Int]

        public init(cutColumn: Int, column: Int, places: [Int]) {
            self.cutColumn = cutColumn
            self.column = column
            self.places = places
        }
    }
}

public enum IsolationNode: Sendable, Hashable {
    /// A row goes on at `left` if its value is at most `threshold`, at `right` if it is greater, and where it is missing
    /// as `missingGoesLeft` says. `left` and `right` are places among the tree's nodes.
    case cut(column: Int, threshold: Float, missingGoesLeft: Bool, left: Int, right: Int)
    /// `pathLength` is the leaf's depth and c(rows); `rows` is how many training rows ended here.
    case leaf(pathLength: Double, rows: Int)
}

/// A model that is a forest of isolation trees, each cut in one column.
public protocol TreeExporting: DetectorModel {
    /// The trees, whose scores differ from the model's by rounding only.
    ///
    /// - Throws: `DetectorError.invalidInput` for a model whose cuts are in several columns each, `.invalidArtifact` for one
    ///   whose cuts cannot be told as thresholds; no model that was fitted is one.
    func isolationTrees() throws -> IsolationTrees
}

/// A detector that makes a model of trees which something else has grown.
public protocol TreeImporting: Detector {
    /// - Throws: `DetectorError.invalidInput` naming the tree and node that cannot be used.
    func model(of trees: IsolationTrees) throws -> any DetectorModel
}
