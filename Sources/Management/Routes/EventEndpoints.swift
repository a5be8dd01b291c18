import Hummingbird
import NIOCore
import ServiceLifecycle

func eventEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v1/events", name: "events", summary: "What happens, as it happens: server-sent events",
            details: """
                `anomaly` (the verdict as published and its `group`, of this process; none that a rule suppresses), `job` (as `GET /v1/train/{job_id}`), `promotion` and \
                `flood`; `missed` where some are left out: at most 100 anomalies a second are told one by one. The stream \
                does not end by itself. A client that does not keep up is let go of; it comes back with `Last-Event-ID`, and \
                gets what it missed of the last 2,000 events.
                """,
            scope: .read,
            parameters: [
                .query("kind", .choice(EventHub.Kind.allCases.map(\.rawValue)), "Only these."),
                .query("user_id", .text(1...256), "Only anomalies of this user.", example: "user-000001"),
                .header("Last-Event-ID", .text(1...64), "The `id` of the last event that the client has."),
            ],
            answers: [.text("Events until the client leaves", "text/event-stream")]
        ) { call, services in
            if let userID = call.text("user_id") { try call.identity?.check(userID: userID) }
            var filter = EventHub.Filter()
            if let kind = call.text("kind").flatMap(EventHub.Kind.init) { filter.kinds = [kind] }
            filter.userID = call.text("user_id")
            filter.tenantPrefix = call.identity?.tenantPrefix
            let (hub, last) = (services.events, call.header("Last-Event-ID"))
            guard !hub.isFull else {
                throw Problem.later(
                    "too-many-listeners", "\(EventHub.maximumListeners) clients listen already", seconds: 30)
            }
            return Response(
                status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-cache"],
                body: ResponseBody { [filter] writer in
                    try await tell(filter, after: last, hub, &writer)
                    try await writer.finish(nil)
                })
        }
    ]
}

/// Until the client leaves, is let go of, or the service ends.
private func tell(
    _ filter: EventHub.Filter, after last: String?, _ hub: EventHub, _ writer: inout any ResponseBodyWriter
) async throws {
    guard let (number, events) = hub.listen(filter, after: last) else { return }
    defer { hub.leave(number) }
    // Said at once, so that the client knows that it is heard.
    try await writer.write(ByteBuffer(string: "retry: 2000\n\n"))
    try await withGracefulShutdownHandler {
        try await withThrowingTaskGroup(of: Void.self) { group in
            // A comment now and then, by which both sides notice when the other one has gone.
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(10))
                    hub.beat(number)
                }
            }
            for await event in events { try await writer.write(ByteBuffer(bytes: hub.frame(event))) }
            group.cancelAll()
        }
    } onGracefulShutdown: {
        hub.leave(number)
    }
}
