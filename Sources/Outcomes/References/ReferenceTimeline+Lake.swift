import Features
import Lake

extension ReferenceTimeline {
    /// Takes a transaction and what was ever known of it.
    ///
    /// - Parameters:
    ///   - own: The label that came with it, known when it happened.
    ///   - day: Of the folder that it lies in.
    public mutating func add(_ row: ReferenceRow, own: Bool?, labels: LabelIndex, day: LakeDay) {
        add(row, day: day.firstStep)
        if let own { add(label: own, knownAt: row.milliseconds, of: row, day: day.firstStep) }
        for label in labels.history(of: row.transaction) {
            add(label: label.isFraud, knownAt: label.knownAt, of: row, day: day.firstStep)
        }
    }

    /// Takes a day of the lake, to its end.
    ///
    /// - Returns: What was read for it.
    @discardableResult
    public mutating func takeDay(
        _ day: LakeDay, of reader: LakeReader, labels: LabelIndex, isCancelled: () -> Bool = { false }
    ) throws -> (reading: ScanStatistics, passedOver: PassedOverRows) {
        let result = try ReferenceRowReader(reader: reader).read(
            try reader.files(in: day...day), isCancelled: isCancelled
        ) {
            add($0, own: $1, labels: labels, day: day)
        }
        advance(to: day.adding(days: 1).firstStep)
        return result
    }
}

extension LakeDay {
    /// The boundary at which the day begins.
    public var firstStep: Int64 { Int64(dayNumber) * ReferenceTime.stepsOfDay }
}
