import CForestKernels
import DetectorAPI

/// Isolation forest: rows that few random cuts separate from the rest are unusual.
///
/// F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008, and "Isolation-Based Anomaly Detection",
/// TKDD 6(1), 2012. Parameters, defaults and scores mean what scikit-learn's mean.
///
/// - A missing value (NaN) goes down the side of a cut to which most training rows went, in fitting and in scoring;
///   the extended mode takes it for the column's median.
/// - Infinities count as the greatest finite numbers.
/// - A column that does not vary among a node's rows is not cut there; one of gaps alone never is. Rows that are all
///   alike make a leaf, which stands for the paths that a subtree of as many rows would have had: c(rows).
/// - Cuts are uniform in the values, so heavy tails are cut off first, as the paper means it. Thresholds are relative
///   to the column's median, so that one huge value does not cost the others their resolution.
/// - Columns of categories are split by random subsets; see `CategoryOrders`.
public struct IsolationForest: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "isolation-forest", version: "1.2.0",
            summary: "Rows that few random cuts separate from the rest are unusual.",
            parameters: ForestParameters.specifications, uses: [.categories, .weights],
            vectorUnit: String(cString: VectorUnit.inUse.cName))
    }

    /// Fits on a sample of the rows for each tree; `labels` are ignored.
    ///
    /// A row with a weight is drawn for a tree as likely as that weight says, one of weight 0 never; where no more rows
    /// have a weight than `max_samples`, every tree gets all of them. Columns of categories are split by subsets.
    ///
    /// - Throws: `DetectorError.invalidInput` for no rows, more than 32,768 columns, a column of more than 65,536
    ///   categories, or weights that cannot be; `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        try ForestFitter(rows, ForestParameters(context.parameters), context).fit()
    }

    /// Checks the bytes. Scoring reads them where they are; only the short form is written out once.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        if CategoryOrders.areIn(artifact.bytes) { return try CategoricalModel(decoding: artifact) }
        if HyperplanePayload.isOne(artifact.bytes) { return try HyperplaneModel(decoding: artifact) }
        if ThresholdPayload.isOne(artifact.bytes) { return try ThresholdModel(decoding: artifact) }
        return try ForestModel(decoding: artifact)
    }
}
