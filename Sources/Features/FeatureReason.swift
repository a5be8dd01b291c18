import Transactions

/// A feature that drove a score: what it was, what it usually is, and by how much it moved the score.
public struct FeatureReason: Sendable, Hashable, Codable {
    /// A number in the feature's unit, or a category.
    public enum Value: Sendable, Hashable, Codable {
        case number(Double)
        case text(String)
        case missing

        /// JSON: a number, a string or null.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .missing
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            case .missing: try container.encodeNil()
            }
        }
    }

    /// Name in the schema.
    public let name: String
    public let value: Value
    /// Mean or median of a number, most common category, in training; missing for a model from elsewhere.
    public let usual: Value
    /// Part of the score; negative: it made the row more anomalous. One-hot columns of one feature are summed.
    public let contribution: Double

    public init(name: String, value: Value, usual: Value, contribution: Double) {
        self.name = name
        self.value = value
        self.usual = usual
        self.contribution = contribution
    }
}

extension PreprocessingPlan {
    /// The features that made a row more anomalous, the strongest first.
    ///
    /// - Parameters:
    ///   - contributions: One for each encoded column, in the score's unit; lower scores are more anomalous.
    ///   - numeric: The row's `UserWindow.featureCount` features, before encoding.
    ///   - batch: The row's categories.
    ///   - limit: At most so many.
    /// - Returns: Features with a negative contribution, ascending by it, then in the order of the schema.
    public func reasons(
        contributions: UnsafeBufferPointer<Double>, numeric: UnsafeBufferPointer<Float>,
        batch: TransactionBatch, row: Int, limit: Int
    ) -> [FeatureReason] {
        precondition(contributions.count >= columnCount, "too few contributions")
        precondition(numeric.count >= UserWindow.featureCount, "too few features")
        var found: [FeatureReason] = []
        for (index, column) in preprocessing.numeric.enumerated() where contributions[index] < 0 {
            let value = numeric[source(ofColumn: index)]
            found.append(
                FeatureReason(
                    name: column.feature, value: value.isNaN ? .missing : .number(Double(value)),
                    usual: column.usual.isNaN ? .missing : .number(column.usual),
                    contribution: contributions[index]))
        }
        for (group, columns) in zip(groups, preprocessing.categorical) {
            let contribution = contributions[
                group.firstColumn..<group.firstColumn + group.columnCount
            ].reduce(0, +)
            guard contribution < 0 else { continue }
            let text = batch.text(FeatureSchema.categorical[group.source].field, row)
            found.append(
                FeatureReason(
                    name: columns.feature, value: text.map { .text($0) } ?? .missing,
                    usual: .text(columns.usual), contribution: contribution))
        }
        // Stable, so that equal contributions stay in the schema's order.
        return Array(found.sorted { $0.contribution < $1.contribution }.prefix(max(limit, 0)))
    }
}
