import Hummingbird
import Serving

func anomalyEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v1/anomalies", name: "anomalies",
            summary: "Recent anomalies of this process, newest first",
            details: """
                The newest 100,000 are kept. `Link` names the next page (`rel="next"`) where a page is full. A process that \
                does not score has none.
                """,
            scope: .read,
            parameters: [
                .query("user_id", .text(1...256), "Only this user's.", example: "user-000001"),
                .query("severity", .choice(["0.5", "0.9", "0.99"]), "Only those at least so severe."),
                .query("limit", .integer(1...1_000), "Anomalies at most; without it: 100.", example: 20),
                .query("cursor", .integer(1...Int(Int32.max)), "Only older ones than this number."),
            ],
            answers: [.list("Anomalies", of: "Anomaly")]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            guard let recent = services.recent else { return .json(bytes: Array("[]".utf8)) }
            var filter = RecentAnomalies.Filter()
            filter.userID = call.text("user_id")
            filter.leastSeverity = call.text("severity").flatMap { Double($0) }
            filter.before = call.integer("cursor").map(Int64.init)
            filter.limit = call.integer("limit") ?? 100
            let anomalies = try await services.blocking { [filter] in try recent.anomalies(filter) }
            var response = Response.json(bytes: json(anomalies))
            if anomalies.count == filter.limit, let last = anomalies.last {
                response.linkNext("/v1/anomalies", call, cursor: "\(last.number)")
            }
            return response
        }
    ]
}

/// `[{"number": 7, "verdict": {...}}]`, the verdicts as they were published, byte for byte.
func json(_ anomalies: [RecentAnomalies.Anomaly]) -> [UInt8] {
    var bytes = Array("[".utf8)
    for (index, anomaly) in anomalies.enumerated() {
        bytes += (index == 0 ? "" : ",").utf8
        bytes += "{\"number\":\(anomaly.number),\"verdict\":".utf8
        bytes += anomaly.verdict
        bytes += "}".utf8
    }
    return bytes + "]".utf8
}
