import Foundation
import Kafka
import Logging
import Testing

/// A record's trace goes on with its verdict, and a collector hears of the batches.
@Suite struct TraceTests {
    @Test func aRecordsTraceIsItsVerdicts() async throws {
        let deployment = try Deployment(partitions: 2)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Array(Fixtures.lines("verdicts.jsonl").prefix(100))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let settings = KafkaSettings(bootstrapServers: try Stack.brokers)
        let producer = try KafkaProducer(settings: settings, logger: logger)
        // By the transaction's id, which may come twice.
        func number(_ id: String) -> Int { id.utf8.reduce(1) { ($0 &* 31 &+ Int($1)) & 0xFF_FFFF } }
        func trace(_ index: Int) -> String {
            let digits = String(index + 1, radix: 16)
            return String(repeating: "0", count: 32 - digits.count) + digits
        }
        var traces: [String: String] = [:]
        for line in try Fixtures.lines("stream.jsonl").prefix(160) {
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            let user = object?["user_id"] as? String ?? "nobody"
            let index = number(object?["transaction_id"] as? String ?? "")
            // Every other record belongs to a trace; one in four has one that is none.
            let parent = index % 4 == 3 ? "nonsense" : "00-\(trace(index))-00f067aa0ba902b7-01"
            let headers =
                index % 2 == 0 || index % 4 == 3
                ? [KafkaHeader("traceparent", parent), KafkaHeader("tracestate", "a=\(index)")] : []
            if index % 2 == 0, let id = object?["transaction_id"] as? String { traces[id] = parent }
            try producer.produce(
                topic: deployment.topic("transactions"), key: user, payload: Array(line.utf8),
                headers: headers)
        }
        try producer.close()

        let folder = try TemporaryFolder()
        let port = try ServiceProcess.freePort()
        let came = folder.file("spans.jsonl")
        let collector = try PythonScript.started("otlp_collector.py", ["\(port)", came.path])
        defer { PythonScript.end(collector) }
        let service = try await ServiceProcess(
            settings: try deployment.settings([
                "stream.publish": "all", "telemetry.otlp": "http://127.0.0.1:\(port)",
            ]), folder: deployment.folder)
        let messages = try deployment.messages("anomalies", count: golden.count)
        for message in messages {
            let object = try JSONSerialization.jsonObject(with: Data(message.value.utf8)) as? [String: Any]
            let id = try #require(object?["transaction_id"] as? String)
            #expect(message.headers.count == (traces[id] == nil ? 0 : 2), "\(id): \(message.headers)")
            #expect(message.headers.first { $0.name == "traceparent" }?.value == traces[id])
        }
        let values = messages.map(\.value)
        #expect(values.count >= golden.count, "\(service.logText.suffix(2_000))")
        // The bytes know nothing of it.
        #expect(Set(Fixtures.comparable(values)).isSuperset(of: Fixtures.comparable(golden)))

        func spans() throws -> [[String: Any]] {
            guard let text = try? String(contentsOf: came, encoding: .utf8) else { return [] }
            return try text.split(separator: "\n").compactMap {
                try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
            }
        }
        try await waitUntil("the collector has all batches", timeoutSeconds: 60) {
            let messages = try spans().compactMap { $0["messages"] as? Int }.reduce(0, +)
            return messages >= 160
        }
        let found = try spans()
        #expect(
            found.allSatisfy { $0["service"] as? String == "ml-service" && $0["name"] as? String == "batch" })
        let linked = found.flatMap { $0["links"] as? [String] ?? [] }
        #expect(
            !linked.isEmpty
                && Set(linked).isSubset(of: Set(traces.values.map { String($0.dropFirst(3).prefix(32)) })))
        #expect(try await service.interrupt() == 0)
    }
}
