import DetectorAPI
import Features
import Foundation
import IsolationForest
import Models
import ObjectStore
import Testing

/// What scikit-learn fitted and skl2onnx converted, imported by the command and served.
struct InterchangeImportTests {
    private static let rowCount = 10_000

    private struct Facts: Decodable {
        let columns: Int
        let trees: Int
        let offset: Double
    }

    /// The small forest of three columns that the unit tests read too.
    private static let fixture = ServiceProcess.root.appending(
        path: "Tests/InterchangeTests/Fixtures/forest.onnx")

    private func importing(
        _ file: URL, features: [String], into folder: TemporaryFolder, _ more: [String] = []
    ) throws -> String {
        try ServiceProcess.run(
            [
                "models", "import", file.path, "--features",
                features.joined(separator: ","), "--store", folder.file("store").path,
            ] + more, settings: ["data.directory": folder.file("data").path])
    }

    /// The first features of the schema, backwards: the order is the graph's, not the schema's.
    private func features(_ count: Int) -> [String] {
        FeatureSchema.numeric.prefix(count).map(\.name).reversed()
    }

    /// Scores rows of the graph's columns by the artifact, as serving does: all features, the plan, the model.
    private func scores(_ artifact: Artifact, _ rows: [Float], _ features: [String]) throws -> [Double] {
        let model = try IsolationForest().decode(artifact.payload)
        var raw = RawRows(artifact.header.preprocessing, count: rows.count / features.count, seed: 1)
        for (column, name) in features.enumerated() {
            let place = try #require(FeatureSchema.index(of: name))
            for row in 0..<raw.count {
                raw.numeric[row * RawRows.width + place] = rows[row * features.count + column]
            }
        }
        return try model.scores(raw.encoded(artifact.header.preprocessing))
    }

    @Test("Converted forests of many parameters score as scikit-learn scores them")
    func scores() throws {
        let forests = try TemporaryFolder()
        try PythonScript.run("make_forests.py", ["forests", forests.url.path])
        let names = try JSONDecoder().decode(
            [String].self, from: Data(contentsOf: forests.file("names.json")))
        let folder = try TemporaryFolder()
        var worst = 0.0
        for (index, name) in names.enumerated() {
            let facts = try JSONDecoder().decode(
                Facts.self, from: Data(contentsOf: forests.file("\(name).json")))
            let features = features(facts.columns)
            let user = index == 1 ? ["--user", "user-000001"] : []
            let text = try importing(forests.file("\(name).onnx"), features: features, into: folder, user)
            #expect(text.contains("a candidate"))
            let store = ModelStore(
                objects: try makeObjectStore(uri: folder.file("store").path, settings: S3Settings()))
            let tenant = index == 1 ? Tenant.user("user-000001") : .global
            let version = try #require(try store.versions(of: tenant).last)
            let bytes = try #require(try store.bytes(of: tenant, version: version))
            let artifact = try Artifact(decoding: bytes, key: nil)
            #expect(artifact.header.source?.file == "\(name).onnx")
            #expect(artifact.header.source?.producer == "skl2onnx 1.20.0")
            #expect(artifact.header.parameters["n_estimators"] == "\(facts.trees)")
            #expect(abs(artifact.header.threshold - facts.offset) < 1e-6)

            let rows = try PythonScript.numbers(forests.file("\(name).rows"), Float.self)
            let theirs = try PythonScript.numbers(forests.file("\(name).scores"), Double.self)
            let ours = try scores(artifact, rows, features)
            try #require(ours.count == Self.rowCount && theirs.count == Self.rowCount)
            for (our, their) in zip(ours, theirs) { worst = max(worst, abs(our - their)) }
            #expect(worst < 1e-6, "\(name): scores differ by \(worst)")

            // Of missing values the file says where they go, and onnxruntime does as it says.
            let missing = try PythonScript.numbers(forests.file("\(name).missing"), Float.self)
            let runtime = try PythonScript.numbers(forests.file("\(name).runtime"), Double.self)
            let difference =
                zip(try scores(artifact, missing, features), runtime).map { abs($0 - $1) }.max() ?? 1
            // Trees of one row have no path to divide by: onnxruntime gives NaN there.
            #expect(difference < 1e-6 || name == "single_rows", "\(name): \(difference) with missing values")
        }
        print("scikit-learn: \(names.count) forests x 10,000 rows, scores differ by \(worst) at most")
    }

    @Test("An imported version that is promoted serves, and gives reasons")
    func serving() throws {
        let folder = try TemporaryFolder()
        let features = ["amount_ratio_30d", "count_24h", "sum_30d"]
        let text = try importing(Self.fixture, features: features, into: folder, ["--promote"])
        #expect(text.contains("global v1, active"))
        let settings = ["data.directory": folder.file("data").path]
        let store = folder.file("store").path
        let verdicts = folder.file("verdicts.jsonl")
        try ServiceProcess.run(
            [
                "replay", "--stream", Fixtures.folder.appending(path: "stream.jsonl").path, "--store", store,
                "--output", verdicts.path,
            ], settings: settings)
        let lines = try String(contentsOf: verdicts, encoding: .utf8).split(separator: "\n")
        #expect(!lines.isEmpty)
        #expect(lines.allSatisfy { $0.contains(#""version":1,"detector":"isolation-forest""#) })
        #expect(lines.contains { $0.contains(#""usual":null"#) })
        // Nobody knows the scores that it was trained on.
        #expect(lines.allSatisfy { $0.contains(#""severity":null"#) })
        // And goes out again.
        try ServiceProcess.run(
            ["models", "export", "v1", "--store", store, "--output", folder.file("again.onnx").path],
            settings: settings)
        let ours = try ServiceProcess.output(
            ["models", "import", folder.file("again.onnx").path, "--features", "amount", "--store", store],
            settings: settings)
        #expect(ours.status == 65 && ours.text.contains("--format artifact"), "\(ours.text)")
        let shown = try ServiceProcess.run(["models", "show", "v1", "--store", store], settings: settings)
        #expect(shown.contains("forest.onnx") && shown.contains("skl2onnx"))
        // Spelt as everywhere else.
        let names = shown.matches(of: /"([^"]*)" :/).map { String($0.1) }
        #expect(names.contains("training_range") && names.allSatisfy { $0 == $0.lowercased() }, "\(names)")
        #expect(
            try ServiceProcess.run(["models", "list", "--store", store], settings: settings).contains(
                "imported: forest.onnx"))
    }

    @Test("What `models export --format artifact` writes is imported elsewhere, byte for byte")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        _ = try importing(
            Self.fixture, features: ["amount_ratio_30d", "count_24h", "sum_30d"], into: folder,
            ["--user", "global"])
        func run(_ place: String, _ arguments: [String], key: String = "") throws -> (
            status: Int32, text: String
        ) {
            try ServiceProcess.output(
                ["models"] + arguments,
                settings: [
                    "data.directory": folder.file("data" + place).path,
                    "store.uri": folder.file("store" + place).path,
                    "models.hmackey": key,
                ])
        }
        let file = folder.file("model.artifact")
        let export = ["export", "v1", "--user", "global", "--format", "artifact", "--output"]
        #expect(try run("", export + [file.path]).status == 0)
        let imported = try run("-2", ["import", file.path, "--promote"])
        #expect(imported.status == 0 && imported.text.contains("global v1, active"), "\(imported.text)")
        #expect(try run("-2", export + [folder.file("again").path]).status == 0)
        #expect(try Data(contentsOf: folder.file("again")) == Data(contentsOf: file))
        #expect(try run("-2", ["import", file.path]).text.contains("here already"))
        // The model of the user of that name.
        #expect(
            try run("-2", ["list", "--json"]).text.trimmingCharacters(in: .whitespacesAndNewlines) == "[\n\n]"
        )
        let other = try run("-3", ["import", file.path, "--user", "somebody"])
        #expect(other.status == 64 && other.text.contains("the user global"), "\(other.text)")
        #expect(try run("-3", ["import", file.path, "--features", "amount"]).status == 64)
        let unsigned = try run("-3", ["import", file.path], key: "a key")
        #expect(unsigned.status == 65 && unsigned.text.contains("models.oldhmackeys"), "\(unsigned.text)")
        #expect(try run("-3", ["import", Self.fixture.path]).text.contains("--features"))
    }

    @Test("Graphs that are no such forest are refused with 65 and the node named")
    func refusal() throws {
        let folder = try TemporaryFolder()
        try PythonScript.run("make_forests.py", ["refused", folder.url.path])
        for (file, word) in [
            ("pipeline.onnx", "(ai.onnx.ml.Scaler)"),
            ("regressor.onnx", "(ai.onnx.ml.TreeEnsembleRegressor)"),
        ] {
            let error = #expect(throws: ServiceFailure.self) {
                try importing(folder.file(file), features: features(4), into: folder)
            }
            let text = error?.description ?? ""
            #expect(text.contains(": 65\n") && text.contains(word), "\(text)")
        }
    }

    @Test(
        "Features that do not fit are a wrong usage, 64",
        arguments: [(["amount"], "3 columns"), (["amount", "pulse", "sum_1h"], "pulse")])
    func wrongFeatures(_ features: [String], _ word: String) throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: ServiceFailure.self) {
            try importing(Self.fixture, features: features, into: folder)
        }
        let text = error?.description ?? ""
        #expect(text.contains(": 64\n") && text.contains(word), "\(text)")
    }
}
