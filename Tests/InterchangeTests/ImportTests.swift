import DetectorAPI
import Features
import IsolationForest
import Testing

@testable import Interchange

struct ImportTests {
    @Test("A converted forest is read with scikit-learn's scores and threshold")
    func scores() throws {
        let fixture = try Fixture.load()
        let forest = try readForest(Fixture.bytes())
        #expect(forest.trees.columns == fixture.columns)
        #expect(forest.trees.trees.count == fixture.trees)
        #expect(forest.trees.sampleSize == 16)
        #expect(abs(forest.threshold - fixture.offset) < 1e-7)
        #expect(forest.producer == "skl2onnx 1.20.0")
        let model = try IsolationForest().model(of: forest.trees)
        let scores = try model.scores(fixture.rows.flatMap(\.row))
        for (score, row) in zip(scores, fixture.rows) { #expect(abs(score - row.score) < 1e-7) }
    }

    @Test("The file written anew, with constants as raw bytes, is read alike")
    func rawConstants() throws {
        var model = try Fixture.model()
        for index in model.graph.initializer.indices {
            let tensor = model.graph.initializer[index]
            var raw: [UInt8] = []
            for number in tensor.floatData {
                withUnsafeBytes(of: number.bitPattern.littleEndian) { raw += $0 }
            }
            for number in tensor.int64Data { withUnsafeBytes(of: number.littleEndian) { raw += $0 } }
            model.graph.initializer[index].rawData = .init(raw)
            model.graph.initializer[index].floatData = []
            model.graph.initializer[index].int64Data = []
        }
        let (written, read) = (try ONNXFile.encode(model), try readForest(Fixture.bytes()))
        #expect(try readForest(written) == read)
    }

    @Test("Features may be named in any order; their columns follow the schema's")
    func columnOrder() throws {
        let fixture = try Fixture.load()
        var forest = try readForest(Fixture.bytes())
        let named = ["count_24h", "amount", "sum_1h"]
        let columns = try ImportedColumns(named, graphColumns: 3)
        columns.reorder(&forest.trees)
        #expect(columns.preprocessing.numeric.map(\.feature) == ["amount", "sum_1h", "count_24h"])
        let model = try IsolationForest().model(of: forest.trees)
        let rows = fixture.rows.flatMap { [$0.row[1], $0.row[2], $0.row[0]] }
        for (score, row) in zip(try model.scores(rows), fixture.rows) {
            #expect(abs(score - row.score) < 1e-7)
        }
        let plan = try PreprocessingPlan(columns.preprocessing)
        #expect(plan.columnCount == 3)
    }

    @Test(
        "Features that do not fit are named",
        arguments: [
            (["amount", "pulse", "sum_1h"], "pulse"), (["amount", "channel", "sum_1h"], "channel"),
            (["amount", "amount", "sum_1h"], "twice"), (["amount"], "3 columns"), ([""], "''"),
        ])
    func wrongFeatures(_ features: [String], _ word: String) {
        let error = #expect(throws: InterchangeError.self) { try ImportedColumns(features, graphColumns: 3) }
        #expect(error?.description.contains(word) == true, "\(String(describing: error))")
    }
}

struct ExportRefusalTests {
    private func export(_ preprocessing: Preprocessing, mode: String) throws -> [UInt8] {
        let kinds = try PreprocessingPlan(preprocessing).columns.map {
            FeatureColumn(
                name: $0.name, kind: $0.cardinality.map { .categorical(cardinality: $0) } ?? .numeric)
        }
        let columns = kinds.count
        let detector = IsolationForest()
        let context = FitContext(
            seed: 1, parameters: try detector.info.checked(["mode": .text(mode)]), columns: kinds)
        var generator = SeededGenerator(seed: 1)
        let rows = (0..<100).flatMap { _ in
            kinds.map { column in
                guard case .categorical(let count) = column.kind else { return Float(generator.unit()) }
                return Float(generator.below(count))
            }
        }
        let model = try rows.withUnsafeBufferPointer {
            try detector.fit(FeatureRows($0, columns: columns), labels: nil, context: context)
        }
        return try writeForest(
            ExportedModel(
                model: model, preprocessing: preprocessing, threshold: -0.5, producerVersion: "test"))
    }

    private func preprocessing(_ categories: [String], _ encoding: Preprocessing.Encoding) -> Preprocessing {
        Preprocessing(
            scaling: .none, numeric: [.init(feature: "amount", centre: 0, scale: 1, usual: 0)],
            categorical: [.init(feature: "channel", categories: categories, usual: "other")],
            encoding: encoding)
    }

    @Test("The same model gives the same file, and what we write is not mistaken for scikit-learn's")
    func deterministic() throws {
        let bytes = try export(preprocessing(["pos"], .oneHot), mode: "standard")
        #expect(try export(preprocessing(["pos"], .oneHot), mode: "standard") == bytes)
        #expect(throws: InterchangeError.self) { try readForest(bytes) }
    }

    @Test(
        "What trees of ONNX cannot tell is not exported",
        arguments: [
            (["pos"], Preprocessing.Encoding.oneHot, "extended", "extended"),
            (["pos"], .native, "extended", "several columns"),
            (["", "pos"], .native, "standard", "empty text"),
            (["", "pos"], .oneHot, "standard", "empty text"),
        ])
    func refusal(_ categories: [String], _ encoding: Preprocessing.Encoding, _ mode: String, _ word: String) {
        let error = #expect(throws: InterchangeError.self) {
            try export(preprocessing(categories, encoding), mode: mode)
        }
        #expect(error?.description.contains(word) == true, "\(String(describing: error))")
    }
}
