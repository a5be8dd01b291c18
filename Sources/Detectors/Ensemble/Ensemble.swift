import DetectorAPI
import IsolationForest
import ZScoreBaseline

/// An isolation forest and z-scores, each asked how rare a row is for it, and their answers weighed.
///
/// A forest sees columns that are odd together and averages away the one that is far off; a z-score of that column
/// sees it and nothing else. Their scores cannot be added: they have different scales. So each is turned into the
/// share p of the training rows that scored as low, and -ln p, the row's *surprise* for that member: 1 for a usual row
/// on the mean, whatever the member. Surprises add up as in R. A. Fisher's test of combined probabilities (Statistical
/// Methods for Research Workers, 1932, section 21.1), with weights (I. J. Good, JRSS B 17, 1955).
///
/// The members, of surprise e:
///
/// - the isolation forest, which counts as e;
/// - the z-score baseline's sum over all columns, which counts as e;
/// - the z-score of each column by itself, which counts as e^2 / 2, likewise 1 on the mean: there are many, and one that
///   is far off must not drown in the others. A missing value counts as 1.
///
/// t is their weighted mean, 1 for a usual row, and the score is -t / (1 + t): -0.5 for a usual row, towards -1 for an
/// unusual one. With labels the weights are learned (`WeightLearner`), which finds the columns that tell.
public struct Ensemble: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "ensemble", version: "1.0.0",
            summary: "An isolation forest and z-scores together, by how rare a row is for each.",
            parameters: EnsembleParameters.specifications)
    }

    /// Fits the members without the labels, and learns the weights from those if there are enough of both kinds.
    ///
    /// - Throws: `DetectorError.invalidInput` for no rows or more columns than the members bear, `.invalidParameter`
    ///   when every weight is 0, `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        try EnsembleFitter(rows, labels, EnsembleParameters(context.parameters), context).fit()
    }

    /// Checks the bytes, the members' by their own `decode`. The forest is scored from where it lies.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        let payload = try EnsemblePayload(checking: artifact.bytes)
        return try EnsembleModel(
            forest: EnsembleMembers.forest.decode(artifact.slice(payload.forestRange)),
            zscore: EnsembleMembers.zscore.decode(artifact.slice(payload.zscoreRange)),
            tables: payload.tables, weights: payload.weights)
    }
}

/// The detectors that the ensemble is made of.
enum EnsembleMembers {
    static let forest = IsolationForest()
    static let zscore = ZScoreBaseline()
}
