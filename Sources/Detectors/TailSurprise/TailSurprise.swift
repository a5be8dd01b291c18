import DetectorAPI

/// Rows are unusual whose values lie far out in the tails of their columns, further than the bulk of the column explains.
///
/// The surprise e of a value is -ln of the share of training rows that lie as far out. Up to the outermost 1 % that is
/// counted; beyond, the tail goes on as the 10 % before it fell, so that frauds among the training rows do not make
/// themselves usual. A column in which there are more extreme values than its own bulk explains has something to tell:
/// there, how far out a value lies beyond that 1 % counts more.
///
///     t = mean over the columns of  e / its mean for a usual column + (weight - 1) * max(e - ln 100, 0)
///     score = -t / (1 + t)
///
/// Values that differ by a category are judged within it: a fare of 400 is usual, groceries of 400 are not.
///
/// -0.5 for a usual row, towards -1 for an unusual one. docs/detectors.md has the formulas and what they are worth.
public struct TailSurprise: Detector {
    public init() {}

    public var info: DetectorInfo {
        DetectorInfo(
            id: "tail-surprise", version: "2.1.0",
            summary: "Rows are unusual whose values lie further out than the bulk of their columns explains.",
            parameters: TailParameters.specifications, uses: [.categories])
    }

    /// Fits each column's tails; `labels` are ignored.
    ///
    /// - Throws: `DetectorError.invalidInput` for no rows or more than 65,536 columns, `.cancelled`.
    public func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        guard rows.columns <= TailPayload.maximumColumns else {
            throw DetectorError.invalidInput("more than \(TailPayload.maximumColumns) columns")
        }
        return TailModel(TailTable(try TailFitter(rows, context).fit()))
    }

    /// Checks; a model is scored from its artifact's bytes.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        TailModel(try TailTable(checking: artifact))
    }
}

struct TailParameters {
    /// Surprises of low values are at most this.
    let lowLimit: Double
    /// Whether columns count by how many extreme values they have.
    let weighs: Bool
    /// Whether columns whose values differ by a category are judged within it.
    let groups: Bool

    static let specifications = [
        ParameterSpecification(
            "low_limit", .real(0...60), default: .real(7),
            meaning: "Surprises of unusually low values count as this at most; 0: only high values surprise."),
        ParameterSpecification(
            "weigh", .boolean, default: .boolean(true),
            meaning: "Extreme values count more in columns that have more of them than their bulk explains."),
        ParameterSpecification(
            "group", .boolean, default: .boolean(true),
            meaning: "Values that differ by a category are judged within it."),
    ]

    init(_ values: ParameterValues) {
        lowLimit = values.real("low_limit")
        weighs = values.boolean("weigh")
        groups = values.boolean("group")
    }
}
