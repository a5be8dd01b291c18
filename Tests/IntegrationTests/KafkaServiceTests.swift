import Foundation
import KafkaProxy
import Testing

/// The service on a broker that comes and goes.
@Suite(.serialized) struct KafkaServiceTests {
    /// An idle service whose broker is restarted goes on with the next record, is ready again, and ends when told.
    @Test func anIdleServiceOutlivesItsBrokersRestart() async throws {
        let deployment = try Deployment(partitions: 2)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let proxy = try KafkaProxy(upstream: try Stack.brokers)
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all", "stream.brokers": proxy.address]),
            folder: deployment.folder)
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000002\"") }
        try #require(lines.count >= 4)
        try deployment.produce(Array(lines[..<2]))
        #expect(try deployment.consume("anomalies", count: 2).count == 2, "\(service.logText.suffix(2_000))")
        proxy.goAway()
        try await waitUntil("it says that the broker is away", timeoutSeconds: 60) {
            try await service.get("/readyz").status == 503
        }
        try proxy.comeBack()
        try deployment.produce(Array(lines[2..<4]))
        // Read when all is done: a reader that waits while a transaction is aborted would be misled by this broker.
        try await waitUntil("the records are through", timeoutSeconds: 90) {
            try await service.get("/metrics").text.contains("ml_transactions_total 4\n")
        }
        #expect(try await service.get("/readyz").status == 200)
        #expect(try deployment.consume("anomalies", count: 4).count == 4, "\(service.logText.suffix(2_000))")
        #expect(try await service.interrupt() == 0)
    }

    /// It leaves nothing to the time after which an end is forced, whose status would be 1.
    @Test func itEndsWhileTheBrokerAnswersNothing() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let proxy = try KafkaProxy(upstream: try Stack.brokers)
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all", "stream.brokers": proxy.address]),
            folder: deployment.folder)
        let line = try #require(try Fixtures.lines("stream.jsonl").first)
        try deployment.produce([line])
        #expect(try deployment.consume("anomalies", count: 1).count == 1, "\(service.logText.suffix(2_000))")
        proxy.onAnswer { _ in .hold }
        try deployment.produce([line])
        try await waitUntil("it says that it waits", timeoutSeconds: 90) {
            try await service.get("/readyz").status == 503
        }
        #expect(try await service.interrupt(by: SIGTERM) == 0)
    }

    /// The topics are not made yet, and a call is under way that nothing answers.
    @Test(arguments: [true, false])
    func itEndsBeforeItHasSeenABroker(isListening: Bool) async throws {
        let deployment = try Deployment(partitions: 1)
        let proxy = try KafkaProxy(upstream: try Stack.brokers)
        proxy.onAnswer { _ in .hold }
        let brokers = isListening ? proxy.address : "127.0.0.1:1"
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.brokers": brokers, "stream.partitions": "1"]),
            folder: deployment.folder)
        #expect(try await service.interrupt(by: SIGTERM) == 0, "\(service.logText.suffix(2_000))")
    }

    /// A call of librdkafka that never returns costs the thread that made it, and the end is forced.
    @Test func aCallThatHangsInALibraryDoesNotKeepTheProcessFromEnding() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let call = try HungCall(in: deployment.folder)
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all"]), folder: deployment.folder,
            variables: call.variables)
        let line = try #require(try Fixtures.lines("stream.jsonl").first)
        try deployment.produce([line])
        #expect(try deployment.consume("anomalies", count: 1).count == 1, "\(service.logText.suffix(2_000))")
        try call.hang()
        // Told to end before the next call is made, the service would not make it.
        try await waitUntil("a call hangs", timeoutSeconds: 60) { call.isHanging }
        #expect(try await service.interrupt(by: SIGTERM) == 1)
        #expect(
            service.logText.contains("scoring did not end in its time"), "\(service.logText.suffix(2_000))")
        #expect(!service.logText.contains("training did not end"), "\(service.logText.suffix(2_000))")
    }

    @Test(arguments: [
        "no.such.property=1", "isolation.level=read_uncommitted", "sasl.mechanism=SCRAM-SHA-999",
    ])
    func aWrongPropertyIsWrongUsage(property: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        let failure = #expect(throws: ServiceFailure.self) {
            try ServiceProcess.run(
                ["serve"],
                settings: [
                    "stream.brokers": "127.0.0.1:1", "data.directory": folder.path, "http.port": "0",
                    "stream.properties": "security.protocol=SASL_PLAINTEXT;\(property)",
                ])
        }
        #expect(failure?.description.contains("serve: 64") == true, "\(String(describing: failure))")
    }
}
