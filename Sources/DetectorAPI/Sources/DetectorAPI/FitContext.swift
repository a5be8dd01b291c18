/// What fitting depends on besides the rows.
public struct FitContext: Sendable {
    /// The only source of randomness.
    public let seed: UInt64
    public let parameters: ParameterValues
    /// One for each column of the rows.
    public let columns: [FeatureColumn]
    /// How much each row counts, one for each: finite, 0 or more, some above 0. nil: all alike. Only for detectors
    /// that say so in `DetectorInfo.uses`.
    public let weights: [Float]?
    /// Asked now and then from the fitting thread; cheap.
    public let isCancelled: @Sendable () -> Bool
    /// Told the finished part, 0 to 1, from the fitting thread.
    public let progress: @Sendable (Double) -> Void

    public init(
        seed: UInt64, parameters: ParameterValues, columns: [FeatureColumn],
        weights: [Float]? = nil, isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) {
        self.seed = seed
        self.parameters = parameters
        self.columns = columns
        self.weights = weights
        self.isCancelled = isCancelled
        self.progress = progress
    }
}
