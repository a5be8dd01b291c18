import DetectorAPI

/// The baseline: rows whose features lie many deviations from their centres are unusual.
///
/// Features are looked at one by one, so nothing is learned of how they go together. That is what makes it
/// fast, small and easy to argue with, and the thing that a better detector has to beat. docs/detectors.md
/// has the formulas.
public struct ZScoreBaseline: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "zscore-baseline", version: "1.1.0",
            summary: "Rows whose features lie many deviations from their centres are unusual.",
            parameters: ZScoreParameters.specifications)
    }

    /// Fits each column's centre and deviation; `labels` are ignored.
    ///
    /// Uses every row, or with `robust` at most 65,536, drawn with the seed.
    ///
    /// - Throws: `DetectorError.invalidInput` for no rows or more than 65,536 columns, `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        guard rows.columns <= ZScorePayload.maximumColumns else {
            throw DetectorError.invalidInput("more than \(ZScorePayload.maximumColumns) columns")
        }
        let parameters = ZScoreParameters(context.parameters)
        let features =
            parameters.isRobust
            ? try RobustFit(rows, context).features() : try momentFit(rows, context)
        context.progress(1)
        return ZScoreModel(features, isRobust: parameters.isRobust, combination: parameters.combination)
    }

    /// Reads and checks; a model is so small that it is copied.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        ZScoreModel(try ZScorePayload(checking: artifact.bytes))
    }
}

/// How a row's features become one number.
enum Combination: UInt8, Sendable {
    /// Every feature counts.
    case sum = 0
    /// Only the most unusual feature counts.
    case largest = 1
}

struct ZScoreParameters {
    let isRobust: Bool
    let combination: Combination

    static let specifications = [
        ParameterSpecification(
            "robust", .boolean, default: .boolean(true),
            meaning: "Median and median absolute deviation instead of mean and standard deviation."),
        ParameterSpecification(
            "combine", .choice(["sum", "largest"]), default: .text("sum"),
            meaning: "Whether every feature counts, or only the most unusual one."),
    ]

    init(_ values: ParameterValues) {
        isRobust = values.boolean("robust")
        combination = values.choice("combine") == "largest" ? .largest : .sum
    }
}
