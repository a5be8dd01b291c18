import Exact
import Features

/// Severities of one model's scores, 0 to 1: on the same scale for every model, so that their alerts can be ranked together.
///
/// A score whose like one training row in 10^d had, or a lower one, has severity d / (d + 2): 0.33 for one in ten, 0.5
/// for one in a hundred, 0.6 for one in a thousand, 0.75 for one in a million. Lower scores are never less severe.
///
///     let scale = SeverityScale(table)
///     scale.severity(of: -0.71)   // 0.62
public struct SeverityScale: Sendable {
    private let table: SeverityTable
    /// d of each knot: -log10 of the share of rows.
    private let digits: [Double]

    private static let middle = 2.0
    private static let digitsOfE = 0.4342944819032518

    public init(_ table: SeverityTable) {
        self.table = table
        digits = table.ranks.map { rank in
            -Self.digitsOfE * DeterministicMath.log(Double(rank) / (2 * Double(table.rows)))
        }
    }

    /// From +, -, *, / and a logarithm made of those: the same bits everywhere.
    ///
    /// - Parameter score: Finite.
    public func severity(of score: Double) -> Double {
        let digits = self.digits(of: score)
        return digits / (digits + Self.middle)
    }

    /// Linear between knots, so that the share of rows falls exponentially there; 0 above the first.
    private func digits(of score: Double) -> Double {
        let scores = table.scores
        var low = 0
        var high = scores.count
        while low < high {
            let middle = (low + high) / 2
            if scores[middle] >= score { low = middle + 1 } else { high = middle }
        }
        // `low` knots are at or above the score.
        guard low > 0 else { return 0 }
        guard low < scores.count else { return digits[low - 1] + beyond(scores[low - 1], score) }
        let part = (scores[low - 1] - score) / (scores[low - 1] - scores[low])
        return digits[low - 1] + (digits[low] - digits[low - 1]) * part
    }

    private func beyond(_ last: Double, _ score: Double) -> Double {
        let distance = min((last - score) / table.scale, 1e300)
        if table.shape == 0 { return Self.digitsOfE * distance }
        return Self.digitsOfE * (DeterministicMath.log(1 + table.shape * distance) / table.shape)
    }
}
