import Foundation
import Logging
import Serving
import Testing

@testable import Management

/// Spans for a collector of OpenTelemetry.
@Suite struct SpanExportTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func batch(_ links: Int = 0) throws -> BatchTrace {
        let context = try #require(
            TraceContext(
                parent: Array("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".utf8), state: nil))
        return BatchTrace(
            startNanoseconds: 1_770_120_000_000_000_000, endNanoseconds: 1_770_120_000_005_000_000,
            transactions: 500, anomalies: 3, deadLetters: 1, stageSeconds: [.score: 0.25],
            stream: "kafka://b/t",
            links: Array(repeating: context, count: links))
    }

    @Test func aBatchIsASpanAsOTLPHasItInJSON() throws {
        let object = try JSONSerialization.jsonObject(with: Data(SpanExport.json([batch(2), batch()])))
        let text = String(decoding: SpanExport.json([try batch(2)]), as: UTF8.self)
        let resources = try #require((object as? [String: Any])?["resourceSpans"] as? [[String: Any]])
        let scopes = try #require(resources.first?["scopeSpans"] as? [[String: Any]])
        let spans = try #require(scopes.first?["spans"] as? [[String: Any]])
        #expect(resources.count == 1 && scopes.count == 1 && spans.count == 2)
        #expect((spans[0]["traceId"] as? String)?.count == 32 && (spans[0]["spanId"] as? String)?.count == 16)
        #expect(spans[0]["startTimeUnixNano"] as? String == "1770120000000000000")
        #expect((spans[0]["links"] as? [[String: String]])?.first?["spanId"] == "00f067aa0ba902b7")
        #expect(spans[1]["links"] == nil)
        #expect(text.contains(#"{"key":"messaging.batch.message_count","value":{"intValue":"501"}}"#))
        #expect(text.contains(#"{"key":"ml_service.stage.score.seconds","value":{"doubleValue":0.25}}"#))
    }

    /// A collector that is away costs the stream nothing but the spans.
    @Test func whatDoesNotFitIsForgotten() async throws {
        let export = try SpanExport(
            endpoint: "http://127.0.0.1:9", logger: logger)
        let span = try batch()
        for _ in 0..<3 * SpanExport.maximumWaiting { export.note(span) }
        // Requests are bounded too, and one that fails throws nothing.
        await export.send()
    }

    @Test func authoritiesAreForTLS() {
        let error = #expect(throws: SpanExportError.self) {
            try SpanExport(endpoint: "http://collector:4318", authorities: "/ca.pem", logger: logger)
        }
        #expect(error?.description.contains("telemetry.ca") == true)
    }

    @Test(arguments: ["", "collector:4318", "ftp://collector", "http://"])
    func anAddressThatIsNoneIsRefused(endpoint: String) {
        #expect(throws: SpanExportError.self) { _ = try SpanExport(endpoint: endpoint, logger: logger) }
    }
}
