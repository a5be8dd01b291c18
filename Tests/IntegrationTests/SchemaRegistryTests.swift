import Foundation
import Kafka
import Logging
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Transactions that Confluent's own serialisers wrote, with a registry that is away, slow, and has new versions.
@Suite struct SchemaRegistryServiceTests {
    /// The stand-in of the tests.
    private struct Registry {
        let url: URL

        func behave(_ mode: String) async throws {
            var request = URLRequest(url: url.appending(path: "behaviour"))
            request.httpMethod = "PUT"
            request.httpBody = Data(#"{"mode":"\#(mode)"}"#.utf8)
            _ = try await URLSession.shared.data(for: request)
        }

        func requests() async throws -> [String] {
            let (data, _) = try await URLSession.shared.data(from: url.appending(path: "requests"))
            return try JSONSerialization.jsonObject(with: data) as? [String] ?? []
        }

        func isUp() async -> Bool { (try? await requests()) != nil }
    }

    private func waitsForRegistry(_ service: ServiceProcess, _ word: String) async throws {
        try await waitUntil("the service says that it waits: \(word)", timeoutSeconds: 60) {
            let ready = try await service.get("/readyz")
            return ready.status == 503 && ready.text.contains("schema registry")
                && ready.text.contains(word)
        }
    }

    @Test func verdictsAreThoseOfTheSameTransactionsInJSON() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Array(Fixtures.lines("verdicts.jsonl").prefix(200))
        let lines = try Array(Fixtures.lines("stream.jsonl").prefix(260))
        let port = try ServiceProcess.freePort()
        let url = "http://127.0.0.1:\(port)"
        let server = try PythonScript.started("schema_registry.py", ["\(port)"])
        defer { PythonScript.end(server) }
        let registry = Registry(url: try #require(URL(string: url)))
        try await waitUntil("the registry answers", timeoutSeconds: 60) { await registry.isUp() }
        let service = try await ServiceProcess(
            settings: try deployment.settings([
                "stream.publish": "all", "registry.url": url, "registry.user": "reader",
                "registry.password": "word",
            ]), folder: deployment.folder)

        func produce(_ range: Range<Int>, _ form: String) throws {
            // What is no transaction in JSON cannot be written by a schema.
            let sound = lines[range].filter { line in
                let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                return (object?["timestamp"] as? String)?.hasSuffix("Z") == true
            }
            let file = deployment.folder.appending(path: "\(form).jsonl")
            try Data(sound.joined(separator: "\n").utf8).write(to: file)
            try PythonScript.run(
                "confluent_produce.py",
                [try Stack.brokers, url, deployment.topic("transactions"), form, file.path])
        }
        try deployment.produce(Array(lines[..<60]))
        try await registry.behave("failing")
        try produce(60..<130, "avro-1")
        try await waitsForRegistry(service, "500")
        // Nothing goes to the dead letters, and nothing is passed over: the group has what it had.
        try await registry.behave("slow")
        try await waitsForRegistry(service, "time")
        try await registry.behave("well")
        try produce(130..<200, "json")
        try produce(200..<260, "avro-2")

        let values = try deployment.messages("anomalies", count: golden.count).map(\.value)
        #expect(values.count >= golden.count, "\(service.logText.suffix(2_000))")
        #expect(Set(Fixtures.comparable(values)).isSuperset(of: Fixtures.comparable(golden)))
        #expect(try await service.get("/readyz").status == 200)

        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let producer = try KafkaProducer(
            settings: KafkaSettings(bootstrapServers: try Stack.brokers), logger: logger)
        for id: UInt8 in [1, 99] {
            try producer.produce(
                topic: deployment.topic("transactions"), key: "nobody", payload: [0, 0, 0, 0, id, 2, 0xFF])
        }
        try producer.close()
        let known = lines[..<60].filter { (try? JSONSerialization.jsonObject(with: Data($0.utf8))) == nil }
        let letters = try deployment.messages("dlq", count: known.count + 2)
        let reasons = letters.compactMap { letter in
            letter.headers.first { $0.name == "__connect.errors.exception.class.name" }?.value
        }
        #expect(reasons.filter { $0 == "damaged-avro" }.count == 1, "\(reasons)")
        #expect(reasons.filter { $0 == "unknown-schema" }.count == 1, "\(reasons)")

        // Each is asked for once, but for those that were not answered; the unknown one a few times.
        let requests = try await registry.requests()
        for id in 2...3 { #expect(requests.filter { $0 == "/schemas/ids/\(id)" }.count <= 2, "\(requests)") }
        #expect(requests.count < 40)
        #expect(try await service.interrupt() == 0)
    }
}
