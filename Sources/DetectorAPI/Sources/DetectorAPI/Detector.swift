/// An algorithm that learns what is usual from rows and scores how unusual other rows are.
///
/// A detector holds no state: one instance may be asked to fit and decode from several threads at once.
public protocol Detector: Sendable {
    /// What the detector is called, what it can be told, and what it can do.
    var info: DetectorInfo { get }

    /// Fits a model.
    ///
    /// - Parameters:
    ///   - rows: `count x columns` features, row-major; NaN is a missing value. Valid during the call only.
    ///   - labels: One per row, or nil: 1 for a known anomaly, 0 for a row that counts as usual, -1 for one of which
    ///     nobody knows yet, from whose label nothing is to be learned. Valid during the call only.
    ///   - context: Seed, checked parameters, the meaning of the columns, cancellation and progress.
    /// - Returns: A model whose bytes depend on rows, labels, columns, parameters and seed alone, not on the
    ///   machine or the number of threads.
    /// - Throws: `DetectorError`: `.invalidInput` for rows that cannot be fitted, `.unavailable` where something that
    ///   fitting needs is not installed, `.cancelled` soon after `context.isCancelled` becomes true.
    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
        -> any DetectorModel

    /// Opens a model from the bytes that `DetectorModel.encode()` gave, which may have been damaged since.
    ///
    /// - Parameter artifact: May be kept and scored from without copying.
    /// - Throws: `DetectorError.invalidArtifact`. Every index is checked here, so that scoring needs no checks.
    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel
}

/// What fitting gives: immutable, and safe to score from any number of threads at once.
public protocol DetectorModel: AnyObject, Sendable {
    /// Features a row must have.
    var columns: Int { get }

    /// Scores a batch. **Lower is more anomalous.**
    ///
    /// A row's score depends on that row and the model alone: not on its neighbours in the batch, the thread
    /// or the machine. Finite for every row, with NaN as a missing value and infinities clamped. Does not
    /// allocate for each row.
    ///
    /// - Parameters:
    ///   - rows: `rows.columns == columns`, which the host has checked.
    ///   - scores: `rows.count` places to fill.
    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws

    /// The bytes from which `Detector.decode(_:)` makes a model with the same scores, bit for bit. Data only.
    func encode() -> [UInt8]
}

/// A model that can say which features drove a score.
public protocol Explaining: DetectorModel {
    /// The score of a row about which nothing is known: what the contributions are measured against.
    var expectedScore: Double { get }

    /// Scores a batch and attributes each score to the features.
    ///
    /// - Parameters:
    ///   - scores: `rows.count` places; the same bits as `score(_:into:)` gives.
    ///   - contributions: `rows.count x columns` places, row-major. A row's contributions sum to its score
    ///     minus `expectedScore`, to within 1e-9; a negative one made the row more anomalous.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws
}

/// A model that can say how much memory it holds, so that a host that keeps many keeps to its limit.
///
/// Without this a host guesses from the artifact's size, and is wrong about models that unpack it.
public protocol Sizing: DetectorModel {
    /// Bytes that are held as long as the model is, those of the artifact among them if it is scored from these.
    var sizeInMemory: Int { get }
}

/// A model that can learn from further rows, one at a time, without the rows it was fitted on.
public protocol Updating: DetectorModel {
    /// A learner that starts from this model, which stays as it is.
    func makeLearner() -> any DetectorLearner
}

/// Learns row by row. Used by one thread at a time.
public protocol DetectorLearner: AnyObject {
    /// - Parameter row: `columns` features.
    /// - Throws: `DetectorError.invalidInput` for a row that nothing can be learned from; it changes nothing.
    func learn(_ row: UnsafeBufferPointer<Float>) throws
    /// The model as it is now; later rows do not change it.
    func model() -> any DetectorModel
}
