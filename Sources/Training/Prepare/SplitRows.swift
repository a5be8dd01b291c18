import Features

/// Prepared rows split by time: the model learns from the first part and is judged by the last.
struct SplitRows {
    var training: RowSample
    var holdout: RowSample
    /// The holdout's rows once more, each with a fraud injected.
    var injected: RowSample
    /// Rows from then on are the holdout.
    let splitMilliseconds: Int64
    private var features = [Float](repeating: 0, count: UserWindow.featureCount)
    private var scratch = UserWindow()

    /// - Parameter capacity: Rows of each part, at most.
    init(capacity: Int, seed: UInt64, splitMilliseconds: Int64) {
        training = RowSample(capacity: capacity, seed: seed)
        holdout = RowSample(capacity: capacity, seed: seed)
        injected = RowSample(capacity: capacity, seed: seed)
        self.splitMilliseconds = splitMilliseconds
    }

    /// Rows of both parts, in the sample or not.
    var rowCount: Int { training.seen + holdout.seen }

    mutating func add(_ prepared: PreparedRow, window: UserWindow) {
        if prepared.row.timestampMilliseconds < splitMilliseconds {
            _ = training.add(prepared.row, features: prepared.features)
            return
        }
        guard let priority = holdout.add(prepared.row, features: prepared.features) else { return }
        features.withUnsafeMutableBufferPointer { features in
            let changed = Injection(priority: priority, row: prepared.row).apply(
                to: prepared.row, window: window, scratch: &scratch, into: features)
            // A table cannot be asked again; a stranger's merchant would be one that it does not know.
            for place in UserWindow.referencePlaces where changed.merchant == prepared.row.merchant {
                features[place] = prepared.features[place]
            }
            injected.keep(changed, features: UnsafeBufferPointer(features), priority: priority)
        }
    }

    mutating func removeAll() {
        training.removeAll()
        holdout.removeAll()
        injected.removeAll()
    }

    /// The samples, final.
    mutating func finish(_ names: CategoryNames) -> PreparedSet {
        PreparedSet(
            training: training.rows(), holdout: holdout.rows(), injected: injected.rows(), rowCount: rowCount,
            names: names)
    }

    /// The moment that leaves the last `share` of the time to the holdout.
    static func split(_ span: ClosedRange<Int64>, holdoutShare share: Double) -> Int64 {
        span.upperBound + 1 - Int64((Double(span.upperBound + 1 - span.lowerBound) * share).rounded())
    }
}

/// What prepare gives to fit and evaluate.
struct PreparedSet: Sendable {
    let training: RowTable
    let holdout: RowTable
    /// Row for row the holdout's.
    let injected: RowTable
    /// Rows in range, in the samples or not.
    let rowCount: Int
    let names: CategoryNames
}
