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

    /// Name in the schema; of an amount, an hour or a weekday, whichever of the columns that say it: `amount`, `hour`,
    /// `weekday`.
    public let name: String
    public let value: Value
    /// This user's own usual value where the window has one, else the median or the most common category of the training
    /// rows; missing where nobody knows.
    public let usual: Value
    /// Part of the score; negative: it made the row more anomalous. Columns that say the same are summed.
    public let contribution: Double
    /// For people: `448.90 is 12 times this user's usual 36.10`.
    public let sentence: String

    public init(name: String, value: Value, usual: Value, contribution: Double, sentence: String) {
        self.name = name
        self.value = value
        self.usual = usual
        self.contribution = contribution
        self.sentence = sentence
    }
}

extension PreprocessingPlan {
    /// The features that made a row more anomalous, the strongest first: those on their unusual side alone, each subject
    /// once.
    ///
    /// - Parameters:
    ///   - contributions: One for each encoded column, in the score's unit; lower scores are more anomalous.
    ///   - numeric: The row's `UserWindow.featureCount` features, before encoding.
    ///   - memory: Of the user's window, before the row.
    ///   - batch: The row's amount and categories.
    ///   - limit: At most so many.
    /// - Returns: Subjects with a negative contribution, ascending by it, then in the order of the schema.
    public func reasons(
        contributions: UnsafeBufferPointer<Double>, numeric: UnsafeBufferPointer<Float>,
        memory: WindowMemory, batch: TransactionBatch, row: Int, limit: Int
    ) -> [FeatureReason] {
        precondition(contributions.count >= columnCount, "too few contributions")
        precondition(numeric.count >= UserWindow.featureCount, "too few features")
        let known = KnownOfRow(numeric: numeric, memory: memory, amount: batch.amount[row])
        var subjects: [(subject: ReasonSubject, contribution: Double)] = []
        let isCold = Double(numeric[OwnUsual.monthCount]) < Double(preprocessing.coldBelow ?? 0)
        for (index, column) in preprocessing.numeric.enumerated() where contributions[index] != 0 {
            if isCold, Preprocessing.coldFeatures.contains(column.feature) { continue }
            let subject = ReasonSubject(
                feature: column.feature, at: source(ofColumn: index), usual: column.usual, numeric)
            if let place = subjects.firstIndex(where: { $0.subject.name == subject.name }) {
                subjects[place].contribution += contributions[index]
                subjects[place].subject.merge(subject)
            } else {
                subjects.append((subject, contributions[index]))
            }
        }
        var found: [FeatureReason] = []
        for (subject, contribution) in subjects where contribution < 0 {
            if let reason = subject.reason(contribution, known) { found.append(reason) }
        }
        for (group, columns) in zip(groups, preprocessing.categorical) {
            let contribution = contributions[
                group.firstColumn..<group.firstColumn + group.columnCount
            ].reduce(0, +)
            let text = batch.text(FeatureSchema.categorical[group.source].field, row)
            guard contribution < 0, let text, text != columns.usual else { continue }
            found.append(
                FeatureReason(
                    name: columns.feature, value: .text(text), usual: .text(columns.usual),
                    contribution: contribution,
                    sentence: "\(columns.feature) \(text); most are \(columns.usual)"))
        }
        // Stable, so that equal contributions stay in the schema's order.
        return Array(found.sorted { $0.contribution < $1.contribution }.prefix(max(limit, 0)))
    }
}
