import DetectorAPI
import Features

/// By which a file that this service wrote is known.
let ownProducerName = "ml-service"

/// A model with all that its ONNX graph says of it.
public struct ExportedModel {
    public var model: any DetectorModel
    public var preprocessing: Preprocessing
    /// `score < threshold` is an anomaly.
    public var threshold: Double
    /// The service's version.
    public var producerVersion: String
    /// Further entries of the file's metadata, in this order.
    public var metadata: [(key: String, value: String)]

    public init(
        model: any DetectorModel, preprocessing: Preprocessing, threshold: Double, producerVersion: String,
        metadata: [(key: String, value: String)] = []
    ) {
        self.model = model
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.producerVersion = producerVersion
        self.metadata = metadata
    }
}

/// Writes an isolation forest as an ONNX graph of the features before preprocessing.
///
/// Inputs: `features`, float [rows, numeric features], NaN where one is missing; for each categorical feature a text
/// [rows, 1] of its name, "" where it is missing. Outputs: `score`, double [rows, 1], and `is_anomaly`, bool [rows, 1].
/// Scores differ from the model's by the rounding of one sum to a float: less than 1e-7.
///
/// - Throws: `InterchangeError.notExportable`; `PreprocessingError`; what the model throws.
public func writeForest(_ exported: ExportedModel) throws -> [UInt8] {
    guard let model = exported.model as? any TreeExporting else {
        throw InterchangeError.notExportable(
            "only isolation forests can be whose cuts are in one column each; those of the mode `extended` are not"
        )
    }
    let trees: IsolationTrees
    do {
        trees = try model.isolationTrees()
    } catch DetectorError.invalidInput(let reason) {
        throw InterchangeError.notExportable(reason)
    }
    let plan = try PreprocessingPlan(exported.preprocessing)
    guard trees.columns == plan.columnCount else {
        throw InterchangeError.notExportable(
            "it has \(trees.columns) columns, its preprocessing gives \(plan.columnCount)")
    }
    var writer = GraphWriter(name: "isolation_forest")
    let columns = try writer.preprocess(exported.preprocessing, orders: trees.orders)
    // Doubles hold the same values; the regressor sums in the type of its input.
    let wide = writer.cast(columns, to: .double, output: "columns_double")
    let path = writer.node(
        "TreeEnsembleRegressor", domain: machineLearningDomain, [wide], output: "relative_path",
        trees.ensembleAttributes())
    // -2^-path
    let exponent = writer.node(
        "Mul",
        [
            writer.cast(path, to: .double, output: "relative_path_double"),
            writer.constant("minus_ln_2", doubles: [-0.6931471805599453]),
        ], output: "exponent")
    let power = writer.node("Exp", [exponent], output: "power")
    writer.output("score", .double, columns: 1, "lower is more anomalous: -1 to 0")
    let score = writer.node("Neg", [power], output: "score")
    writer.output("is_anomaly", .boolean, columns: 1, "score < threshold")
    let threshold = writer.constant("threshold", doubles: [exported.threshold])
    writer.node("Less", [score, threshold], output: "is_anomaly")
    return try ONNXFile.encode(modelProto(writer.graph, exported))
}

private func modelProto(_ graph: ONNXGraphProto, _ exported: ExportedModel) -> ONNXModelProto {
    var model = ONNXModelProto()
    model.irVersion = 8
    model.producerName = ownProducerName
    model.producerVersion = exported.producerVersion
    // TreeEnsembleRegressor has had tensors of doubles since version 3.
    model.opsetImport = [("", Int64(17)), (machineLearningDomain, 3)].map { domain, version in
        var set = ONNXOperatorSetIdProto()
        set.domain = domain
        set.version = version
        return set
    }
    let own: [(key: String, value: String)] = [
        ("feature_schema", "\(exported.preprocessing.schemaVersion)"),
        ("features", exported.preprocessing.numeric.map(\.feature).joined(separator: ",")),
        ("categorical_features", exported.preprocessing.categorical.map(\.feature).joined(separator: ",")),
        ("threshold", "\(exported.threshold)"),
    ]
    model.metadataProps = (exported.metadata + own).map { key, value in
        var entry = ONNXStringStringEntryProto()
        entry.key = key
        entry.value = value
        return entry
    }
    model.graph = graph
    return model
}
