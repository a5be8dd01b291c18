import Exact

enum AveragePath {
    private static let eulerGamma = 0.5772156649015329

    /// c(n): the mean length of an unsuccessful search in a binary tree of `count` rows (Liu, Ting and Zhou 2008,
    /// equation 1), as scikit-learn has it: 0 for one row, 1 for two.
    static func length(_ count: Int) -> Double {
        if count <= 1 { return 0 }
        if count == 2 { return 1 }
        let n = Double(count)
        return 2 * (DeterministicMath.log(n - 1) + eulerGamma) - 2 * (n - 1) / n
    }
}
