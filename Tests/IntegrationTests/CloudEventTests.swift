import Foundation
import Kafka
import Logging
import Testing

/// Verdicts as CloudEvents, read by the SDK that others read them with.
@Suite struct CloudEventTests {
    @Test func verdictsAreCloudEventsAndTheirBytesAreTheSame() async throws {
        let deployment = try Deployment(partitions: 2)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Array(Fixtures.lines("verdicts.jsonl").prefix(200))
        try deployment.produce(try Array(Fixtures.lines("stream.jsonl").prefix(260)))
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all", "publish.cloudevents": "on"]),
            folder: deployment.folder)
        let consumer = try KafkaConsumer(
            settings: KafkaSettings(bootstrapServers: try Stack.brokers), groupID: "reader-\(deployment.run)",
            topics: [deployment.topic("anomalies")],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { consumer.close() }
        var values: [String] = []
        var lines: [Data] = []
        var deadline = ContinuousClock.now + .seconds(90)
        while values.count < golden.count, .now < deadline {
            guard let messages = try? consumer.poll(maximumCount: 1_000, timeoutMilliseconds: 200),
                messages.count > 0
            else { continue }
            deadline = .now + .seconds(90)
            for index in 0..<messages.count {
                let headers = messages.headers(index).map {
                    ($0.name, String(decoding: $0.value ?? [], as: UTF8.self))
                }
                #expect(Set(headers.map(\.0)).count == headers.count)
                let value = String(decoding: messages.payload(index), as: UTF8.self)
                values.append(value)
                lines.append(
                    try JSONSerialization.data(
                        withJSONObject: [
                            "headers": Dictionary(headers) { $1 }, "value": value,
                            "key": String(decoding: messages.key(index), as: UTF8.self),
                        ]))
            }
        }
        #expect(values.count >= golden.count, "\(service.logText.suffix(2_000))")
        #expect(Set(Fixtures.comparable(values)).isSuperset(of: Fixtures.comparable(golden)))
        let file = deployment.folder.appending(path: "messages.jsonl")
        try Data(lines.joined(separator: [UInt8(ascii: "\n")])).write(to: file)
        try PythonScript.run("cloudevents_read.py", [file.path])
        #expect(try await service.interrupt() == 0)
    }
}
