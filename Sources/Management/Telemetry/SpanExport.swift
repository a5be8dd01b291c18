import Exact
import Foundation
import Logging
import Metrics
import ServiceLifecycle
import Serving
import Synchronization

/// Sends a span a batch to a collector of OpenTelemetry, as OTLP/HTTP with JSON.
///
/// Never in the stream's way: a batch's span goes into a queue of bounded length, and what does not fit, or cannot be sent, is
/// counted and forgotten. Thread-safe.
///
/// Source: OTLP specification 1.5, "OTLP/HTTP" and "JSON Protobuf Encoding".
public final class SpanExport: Service {
    /// Spans that wait.
    static let maximumWaiting = 2_048
    private static let maximumOfRequest = 512

    private struct State {
        var waiting: [BatchTrace] = []
        /// The last request succeeded, or there was none.
        var isWell = true
    }

    private let url: String
    private let post: JSONPost
    private let interval: Duration
    private let logger: Logger
    private let state = Mutex(State())
    private let sent = Counter(label: "ml_spans_sent_total")
    private let dropped = Counter(label: "ml_spans_dropped_total")

    /// - Parameters:
    ///   - endpoint: `http://collector:4318`; `/v1/traces` is added unless it is there.
    ///   - authorities: PEM file of the authorities that its certificate may be of; nil: the system's.
    ///   - interval: Between two requests.
    /// - Throws: `SpanExportError`.
    public init(
        endpoint: String, authorities: String? = nil, interval: Duration = .seconds(1), logger: Logger
    ) throws {
        let base = endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
        guard let address = URL(string: endpoint), ["http", "https"].contains(address.scheme),
            let host = address.host, !host.isEmpty
        else {
            throw SpanExportError(
                description: "telemetry.otlp is no address that begins with http:// or https://")
        }
        guard authorities == nil || address.scheme == "https" else {
            throw SpanExportError(
                description: "telemetry.ca is for TLS: telemetry.otlp begins with https:// then")
        }
        url = base.hasSuffix("/v1/traces") ? base : base + "/v1/traces"
        post = JSONPost(
            url: url, authorities: authorities, authoritiesSetting: "telemetry.ca", timeoutSeconds: 5)
        self.interval = interval
        self.logger = logger
    }

    public func note(_ batch: BatchTrace) {
        let isKept = state.withLock { state in
            guard state.waiting.count < Self.maximumWaiting else { return false }
            state.waiting.append(batch)
            return true
        }
        if !isKept { dropped.increment() }
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                try await Task.sleep(for: interval)
                await send()
            }
        }
        await send()
    }

    /// One request, of what has waited longest; none where nothing waits.
    func send() async {
        let spans = state.withLock { state in
            defer { state.waiting.removeFirst(min(Self.maximumOfRequest, state.waiting.count)) }
            return Array(state.waiting.prefix(Self.maximumOfRequest))
        }
        guard !spans.isEmpty else { return }
        do {
            let status = try await post.send(Self.json(spans))
            guard (200..<300).contains(status) else {
                throw SpanExportError(description: "the collector answered \(status)")
            }
            sent.increment(by: spans.count)
            state.withLock { $0.isWell = true }
        } catch {
            dropped.increment(by: spans.count)
            // Once, not with every batch.
            let isNews = state.withLock { state in
                defer { state.isWell = false }
                return state.isWell
            }
            if isNews {
                logger.warning("spans are not sent", metadata: ["to": "\(url)", "reason": "\(error)"])
            }
        }
    }

    // MARK: JSON

    /// An `ExportTraceServiceRequest`. Ids are hexadecimal, and numbers of 64 bits texts, as OTLP wants them in JSON.
    static func json(_ batches: [BatchTrace]) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.beginArray("resourceSpans")
        json.beginObject()
        json.beginObject("resource")
        json.beginArray("attributes")
        attribute("service.name", "ml-service", &json)
        json.endArray()
        json.endObject()
        json.beginArray("scopeSpans")
        json.beginObject()
        json.beginObject("scope")
        json.field("name", "ml-service")
        json.endObject()
        json.beginArray("spans")
        for batch in batches { span(batch, &json) }
        for _ in 0..<2 {
            json.endArray()
            json.endObject()
        }
        json.endArray()
        json.endObject()
        return json.bytes
    }

    private static func span(_ batch: BatchTrace, _ json: inout JSONWriter) {
        json.beginObject()
        json.field("traceId", digits(2))
        json.field("spanId", digits(1))
        json.field("name", "batch")
        json.field("kind", 5 as Int64)  // consumer
        json.field("startTimeUnixNano", "\(batch.startNanoseconds)")
        json.field("endTimeUnixNano", "\(max(batch.startNanoseconds, batch.endNanoseconds))")
        json.beginArray("attributes")
        attribute("messaging.operation.type", "process", &json)
        attribute("ml_service.stream", batch.stream, &json)
        attribute("messaging.batch.message_count", batch.transactions + batch.deadLetters, &json)
        attribute("ml_service.anomalies", batch.anomalies, &json)
        attribute("ml_service.dead_letters", batch.deadLetters, &json)
        for (stage, seconds) in batch.stageSeconds.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            attribute("ml_service.stage.\(stage.rawValue).seconds", &json) {
                $0.field("doubleValue", seconds)
            }
        }
        json.endArray()
        if !batch.links.isEmpty {
            json.beginArray("links")
            for link in batch.links {
                json.beginObject()
                json.field("traceId", link.traceID)
                json.field("spanId", link.spanID)
                json.endObject()
            }
            json.endArray()
        }
        json.endObject()
    }

    private static func attribute(_ name: String, _ value: String, _ json: inout JSONWriter) {
        attribute(name, &json) { $0.field("stringValue", value) }
    }

    private static func attribute(_ name: String, _ value: Int, _ json: inout JSONWriter) {
        attribute(name, &json) { $0.field("intValue", "\(value)") }
    }

    private static func attribute(
        _ name: String, _ json: inout JSONWriter, _ writeValue: (inout JSONWriter) -> Void
    ) {
        json.beginObject()
        json.field("key", name)
        json.beginObject("value")
        writeValue(&json)
        json.endObject()
        json.endObject()
    }

    /// Random, sixteen digits a word, never all zeros.
    private static func digits(_ words: Int) -> String {
        (0..<words).map { _ in
            withUnsafeBytes(of: UInt64.random(in: 1 ... .max)) { Hex.text($0) }
        }.joined()
    }
}

/// An address of a collector that is none, or what a collector answered.
public struct SpanExportError: Error, CustomStringConvertible {
    public let description: String
}
