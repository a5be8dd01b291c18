import Hummingbird
import Serving

func healthEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/healthz", name: "health", summary: "Alive", scope: nil,
            answers: [.text("ok", "text/plain; charset=utf-8")]
        ) { _, _ in .text("ok\n", contentType: "text/plain; charset=utf-8") },
        Endpoint(
            .get, "/readyz", name: "readiness", summary: "Ready to serve, or what it waits for", scope: nil,
            answers: [
                .ok("Ready", "Readiness"),
                Endpoint.Answer(status: .serviceUnavailable, meaning: "Not ready", schema: "Readiness"),
            ]
        ) { _, services in
            let view = ReadinessView(services)
            return try .json(view, status: view.ready ? .ok : .serviceUnavailable)
        },
        Endpoint(
            .get, "/metrics", name: "metrics", summary: "Metrics as Prometheus reads them",
            details:
                "OpenMetrics 1.0 for whoever accepts `application/openmetrics-text`; docs/metrics.md lists them.",
            scope: .read, answers: [.text("Exposition format 0.0.4", "text/plain; version=0.0.4")]
        ) { call, services in
            try await services.blocking { ScrapeSamples(services.metrics).take(services) }
            guard call.header("Accept")?.contains("application/openmetrics-text") ?? false else {
                return .text(services.metrics.text(), contentType: "text/plain; version=0.0.4")
            }
            return .text(
                services.metrics.text(.openMetrics),
                contentType: "application/openmetrics-text; version=1.0.0; charset=utf-8")
        },
    ]
}

/// `/openapi.json`, which describes the others and itself.
func descriptionEndpoint(of others: [Endpoint]) -> Endpoint {
    func endpoint(_ bytes: [UInt8]) -> Endpoint {
        Endpoint(
            .get, "/openapi.json", name: "description", summary: "This description", scope: nil,
            answers: [Endpoint.Answer(status: .ok, meaning: "OpenAPI 3.1", schema: "Description")]
        ) { _, _ in .json(bytes: bytes) }
    }
    return endpoint(Documentation.openAPI(others + [endpoint([])]))
}

struct ReadinessView: Encodable {
    let ready: Bool
    let state: String
    /// What it waits for.
    let reason: String?

    init(_ services: ManagementServices) {
        guard let status = services.serving else {
            (ready, state, reason) = (true, "not-serving", nil)
            return
        }
        switch (status.phase, services.promotion.globalTrouble) {
        case (.starting, _): (ready, state, reason) = (false, "starting", nil)
        case (.running, let trouble?): (ready, state, reason) = (false, "waiting", "\(trouble)")
        case (.running, nil):
            (ready, state, reason) = (true, "running", status.groupTrouble ?? status.windowTrouble)
        case (.waiting(let what), _): (ready, state, reason) = (false, "waiting", what)
        case (.finished, _): (ready, state, reason) = (true, "finished", "the stream has ended")
        case (.stopped, _): (ready, state, reason) = (false, "stopped", nil)
        }
    }
}
