import Foundation
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
        let messages = try deployment.messages("anomalies", count: golden.count)
        let lines = try messages.map { message in
            #expect(Set(message.headers.map(\.name)).count == message.headers.count)
            return try JSONSerialization.data(
                withJSONObject: [
                    "headers": Dictionary(message.headers.map { ($0.name, $0.value) }) { $1 },
                    "value": message.value, "key": message.key,
                ])
        }
        let values = messages.map(\.value)
        #expect(values.count >= golden.count, "\(service.logText.suffix(2_000))")
        #expect(Set(Fixtures.comparable(values)).isSuperset(of: Fixtures.comparable(golden)))
        let file = deployment.folder.appending(path: "messages.jsonl")
        try Data(lines.joined(separator: [UInt8(ascii: "\n")])).write(to: file)
        try PythonScript.run("cloudevents_read.py", [file.path])
        #expect(try await service.interrupt() == 0)
    }
}
