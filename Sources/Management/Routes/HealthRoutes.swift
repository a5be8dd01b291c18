import Hummingbird
import Serving

func addHealthRoutes(to router: Router<BasicRequestContext>, _ services: ManagementServices) {
    router.get("/healthz") { _, _ in "ok\n" }
    router.get("/readyz") { _, _ in
        let view = ReadinessView(services.serving, hasModel: services.promotion.hasGlobalModel)
        return try Response.json(view, status: view.ready ? .ok : .serviceUnavailable)
    }
    router.get("/metrics") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: services.metrics.text())))
    }
    router.get("/openapi.json") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: OpenAPI.document)))
    }
}

private struct ReadinessView: Encodable {
    let ready: Bool
    let state: String
    /// What it waits for.
    let reason: String?

    init(_ status: ServingStatus?, hasModel: Bool) {
        guard let status else {
            (ready, state, reason) = (true, "not-serving", nil)
            return
        }
        switch status.phase {
        case .starting: (ready, state, reason) = (false, "starting", nil)
        case .running where !hasModel:
            (ready, state, reason) = (false, "waiting", "\(ServingError.noGlobalModel)")
        case .running: (ready, state, reason) = (true, "running", status.windowTrouble)
        case .waiting(let what): (ready, state, reason) = (false, "waiting", what)
        case .finished: (ready, state, reason) = (true, "finished", "the stream has ended")
        case .stopped: (ready, state, reason) = (false, "stopped", nil)
        }
    }
}
