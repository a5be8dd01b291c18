import DetectorAPI

/// Rows whose features lie many robust deviations from their medians are unusual.
///
/// B. Iglewicz, D. C. Hoaglin, "How to detect and handle outliers", 1993: the median and the median absolute
/// deviation in place of mean and standard deviation, which the outliers themselves would move.
public struct RobustZScore: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "robust-z-score", version: "1.0.0",
            summary: "Rows whose features lie many robust deviations from their medians are unusual.",
            parameters: [
                ParameterSpecification(
                    "most", .real(1...1_000), default: .real(20),
                    meaning:
                        "Deviations beyond which a feature counts no more, so that one does not drown all others."
                )
            ])
    }

    public func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
        -> any DetectorModel
    {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        var columns: [RobustModel.Column] = []
        for column in 0..<rows.columns {
            if context.isCancelled() { throw DetectorError.cancelled }
            context.progress(Double(column) / Double(rows.columns))
            // Missing and infinite values say nothing of what is usual.
            let values = (0..<rows.count).map { rows.values[$0 * rows.columns + column] }.filter(\.isFinite)
            columns.append(RobustModel.Column(values.map(Double.init)))
        }
        context.progress(1)
        return RobustModel(columns, most: context.parameters.real("most"))
    }

    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        try RobustModel(decoding: artifact.bytes)
    }
}
