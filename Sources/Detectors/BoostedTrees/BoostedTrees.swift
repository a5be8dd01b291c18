import CForestKernels
import DetectorAPI

/// Gradient-boosted trees: learns from labelled frauds how likely a row is one.
///
/// Trained by LightGBM (G. Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017), which is
/// looked for when a model is fitted; scored and explained by kernels of our own, from the artifact's bytes.
///
/// - The score is minus the probability of a fraud, calibrated on rows that were held out.
/// - A missing value (NaN) goes down the side that was learned for it; in a column that had none, it counts as 0.
/// - Infinities count as the greatest finite numbers.
/// - Columns of categories are split by subsets; a category that no cut names counts as missing.
public struct BoostedTrees: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "boosted-trees", version: "1.0.0",
            summary: "How likely a row is a fraud, learned from labelled ones by gradient-boosted trees.",
            parameters: BoostedParameters.specifications, uses: [.categories, .references],
            needsLabels: true,
            vectorUnit: String(cString: VectorUnit.inUse.cName))
    }

    /// Fits on the rows that are labelled 0 or 1; others are left out.
    ///
    /// - Throws: `DetectorError.invalidInput` for too few labels of either kind, more than 32,768 columns or a column of
    ///   more than 65,536 categories; `.unavailable` where LightGBM is not installed; `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        let parameters = BoostedParameters(context.parameters)
        let table = try LabelledRows(rows, labels, context.columns, parameters)
        return try BoostedFitter(table, parameters, context, library: LightGBM()).fit()
    }

    /// Checks the bytes. Scoring reads them where they are.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        try BoostedModel(decoding: artifact)
    }
}
