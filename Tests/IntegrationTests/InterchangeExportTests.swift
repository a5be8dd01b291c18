import DetectorAPI
import Features
import Foundation
import Interchange
import IsolationForest
import Models
import Testing

/// What we export, scored by onnxruntime.
struct InterchangeExportTests {
    private static let rowCount = 10_000

    /// Scores rows with onnxruntime and with us.
    private func compare(
        _ onnx: URL, _ model: any DetectorModel, _ preprocessing: Preprocessing, threshold: Double,
        in folder: TemporaryFolder
    ) throws {
        let rows = RawRows(preprocessing, count: Self.rowCount, seed: 41)
        try rows.write(preprocessing, to: folder)
        try PythonScript.run("score.py", [onnx.path, folder.url.path])
        let theirs = try PythonScript.numbers(folder.file("scores"), Double.self)
        let anomalies = try PythonScript.numbers(folder.file("anomalies"), UInt8.self)
        let ours = try model.scores(rows.encoded(preprocessing))
        try #require(theirs.count == Self.rowCount && ours.count == Self.rowCount)
        let worst = zip(ours, theirs).map { abs($0 - $1) }.max() ?? 1
        #expect(worst < 1e-6, "scores differ by \(worst)")
        #expect(Set(ours).count > 100, "the rows do not tell much")
        for (score, isAnomaly) in zip(ours, anomalies) where abs(score - threshold) > 1e-6 {
            #expect((score < threshold) == (isAnomaly == 1))
        }
        print("onnxruntime: 10,000 rows, scores differ by \(worst) at most")
    }

    @Test("A trained version exported by the command scores alike in onnxruntime")
    func trainedVersion() throws {
        let folder = try TemporaryFolder()
        let onnx = folder.file("model.onnx")
        let store = Fixtures.folder.appending(path: "store").path
        let text = try ServiceProcess.run(
            ["models", "export", "v1", "--format", "onnx", "--store", store, "--output", onnx.path],
            settings: ["data.directory": folder.file("data").path])
        #expect(text.contains("global v1"))
        let artifact = try Artifact(
            decoding: ArtifactBytes(
                copying: Data(contentsOf: Fixtures.folder.appending(path: "store/models/global/v1.model"))),
            key: nil)
        try compare(
            onnx, IsolationForest().decode(artifact.payload), artifact.header.preprocessing,
            threshold: artifact.header.threshold, in: folder)
    }

    @Test("A model that is no forest cannot be exported: the command says so and ends with 65")
    func otherDetector() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: ServiceFailure.self) {
            try ServiceProcess.run(
                [
                    "models", "export", "v2", "--store", Fixtures.folder.appending(path: "store").path,
                    "--output", folder.file("model.onnx").path,
                ], settings: ["data.directory": folder.file("data").path])
        }
        let text = error?.description ?? ""
        #expect(text.contains(": 65\n") && text.contains("only isolation forests can be"), "\(text)")
        #expect(!FileManager.default.fileExists(atPath: folder.file("model.onnx").path))
    }

    struct Forest: Sendable {
        let name: String
        let parameters: [String: ParameterValue]
        let preprocessing: Preprocessing
    }

    private static func numeric(_ names: [String], scaled: Bool) -> [Preprocessing.NumericColumn] {
        names.enumerated().map { place, name in
            .init(
                feature: name, centre: scaled ? 17.3 * Double(place) : 0,
                scale: scaled ? 1 / (0.7 + Double(place)) : 1,
                usual: 0)
        }
    }

    private static let forests = [
        Forest(
            name: "plain, scaled, with categories", parameters: ["storage": .text("plain")],
            preprocessing: Preprocessing(
                scaling: .robust,
                numeric: numeric(["amount", "count_24h", "mean_7d", "speed_kmh"], scaled: true),
                categorical: [
                    .init(feature: "category", categories: ["café", "grocery", "旅"], usual: "other"),
                    .init(feature: "channel", categories: [], usual: "other"),
                ])),
        Forest(
            name: "categories split by the trees", parameters: [:],
            preprocessing: Preprocessing(
                scaling: .robust, numeric: numeric(["amount", "count_24h", "speed_kmh"], scaled: true),
                categorical: [
                    .init(feature: "category", categories: ["café", "grocery", "旅"], usual: "other"),
                    .init(feature: "country", categories: ["a", "b", "c", "d", "e"], usual: "a"),
                    .init(feature: "channel", categories: [], usual: "other"),
                ], encoding: .native)),
        Forest(
            name: "nothing but categories that the trees split", parameters: ["mode": .text("standard")],
            preprocessing: Preprocessing(
                scaling: .none, numeric: [],
                categorical: ["category", "country", "channel", "currency"].map {
                    .init(feature: $0, categories: ["a", "b", "c", "d", "e"], usual: "a")
                }, encoding: .native)),
        Forest(
            name: "deep, many trees",
            parameters: [
                "n_estimators": .integer(300), "max_samples": .integer(1_000), "mode": .text("standard"),
                "storage": .text("plain"),
            ],
            preprocessing: Preprocessing(
                scaling: .none, numeric: numeric(["amount", "sum_30d"], scaled: false), categorical: [])),
        Forest(
            name: "categories alone", parameters: ["storage": .text("packed")],
            preprocessing: Preprocessing(
                scaling: .none, numeric: [],
                categorical: ["category", "country", "channel", "currency"].map {
                    .init(feature: $0, categories: ["a", "b", "c", "d", "e"], usual: "a")
                })),
    ]

    @Test("Forests of every kind score alike in onnxruntime", arguments: forests.indices)
    func fitted(_ index: Int) throws {
        let forest = Self.forests[index]
        let folder = try TemporaryFolder()
        let training = try RawRows(forest.preprocessing, count: 4_000, seed: 5).encoded(forest.preprocessing)
        let kinds = try PreprocessingPlan(forest.preprocessing).columns.map {
            FeatureColumn(
                name: $0.name, kind: $0.cardinality.map { .categorical(cardinality: $0) } ?? .numeric)
        }
        let columns = kinds.count
        let detector = IsolationForest()
        let context = FitContext(
            seed: 1, parameters: try detector.info.checked(forest.parameters),
            columns: kinds)
        let model = try training.withUnsafeBufferPointer {
            try detector.fit(FeatureRows($0, columns: columns), labels: nil, context: context)
        }
        let threshold = try model.scores(training).sorted()[40]
        let bytes = try writeForest(
            ExportedModel(
                model: model, preprocessing: forest.preprocessing, threshold: threshold,
                producerVersion: "test"))
        try Data(bytes).write(to: folder.file("model.onnx"))
        try compare(folder.file("model.onnx"), model, forest.preprocessing, threshold: threshold, in: folder)
    }
}
