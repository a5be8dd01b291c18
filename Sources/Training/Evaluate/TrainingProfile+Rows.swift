import Features
import Models

extension TrainingProfile {
    /// Of the scores and features of the rows that a model was fitted to.
    ///
    /// - Returns: nil without scores.
    init?(_ fitted: FittedModel, _ rows: RowTable) {
        guard let scores = Histogram(of: fitted.usualScores) else { return nil }
        let profiled = fitted.plan.profiled
        var columns = [[Double]](repeating: [], count: profiled.count)
        var values = [Double](repeating: 0, count: profiled.count)
        for row in 0..<rows.count {
            rows.numeric(row).withUnsafeBufferPointer { numeric in
                rows.categories(row).withUnsafeBufferPointer { categories in
                    values.withUnsafeMutableBufferPointer {
                        fitted.plan.writeProfiled(numeric: numeric, categories: categories, into: $0)
                    }
                }
            }
            for column in profiled.indices { columns[column].append(values[column]) }
        }
        var features: [String: Histogram] = [:]
        for (feature, column) in zip(profiled, columns) {
            features[feature.name] =
                feature.codeCount.map { Histogram(codes: column, count: $0) } ?? Histogram(of: column)
        }
        self.init(scores: scores, features: features)
    }
}
