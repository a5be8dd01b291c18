import DetectorAPI

/// Isolation forest: rows that few random cuts separate from the rest are unusual.
///
/// F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008, and "Isolation-Based Anomaly Detection",
/// TKDD 6(1), 2012. Parameters, defaults and scores mean what scikit-learn's mean. docs/detectors.md says
/// how missing values, infinities and constant columns are treated.
public struct IsolationForest: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "isolation-forest", version: "1.1.0",
            summary: "Rows that few random cuts separate from the rest are unusual.",
            parameters: ForestParameters.specifications)
    }

    /// Fits on a sample of the rows for each tree; `labels` are ignored.
    ///
    /// - Throws: `DetectorError.invalidInput` for no rows or more than 32,768 columns, `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        let fitter = try ForestFitter(rows, ForestParameters(context.parameters), context)
        return fitter.parameters.mode == .extended ? try fitter.fitExtended() : try fitter.fit()
    }

    /// Checks the bytes. Scoring reads them where they are; only the short form is written out once.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        if HyperplanePayload.isOne(artifact.bytes) { return try HyperplaneModel(decoding: artifact) }
        if ThresholdPayload.isOne(artifact.bytes) { return try ThresholdModel(decoding: artifact) }
        return try ForestModel(decoding: artifact)
    }
}
