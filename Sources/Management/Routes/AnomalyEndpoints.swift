import Hummingbird
import Serving
import Synchronization

func anomalyEndpoints() -> [Endpoint] {
    let auditing = OneAtATime()
    return [
        Endpoint(
            .get, "/v1/anomalies", name: "anomalies",
            summary: "Recent anomalies of this process, newest first",
            details: """
                The newest 100,000 are kept, those too that a rule suppresses, and what a rule makes an alert. `Link` names \
                the next page (`rel="next"`) where a page is full. A process that does not score has none. Alerts of one user \
                within one window of event time (`alerts.group`) carry one `group`.
                """,
            scope: .read,
            parameters: [
                .query("user_id", .text(1...256), "Only this user's.", example: "user-000001"),
                .query("group", .text(1...64), "Only those of this group.", example: "0011223344556677"),
                .query(
                    "severity", .choice(["0.5", "0.6", "0.67", "0.75"]), "Only those at least so severe."),
                .query("limit", .integer(1...1_000), "Anomalies at most; without it: 100.", example: 20),
                .query("cursor", .integer(1...Int(Int32.max)), "Only older ones than this number."),
            ],
            answers: [.list("Anomalies", of: "Anomaly")]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            guard let recent = services.recent else { return .json(bytes: Array("[]".utf8)) }
            var filter = RecentAnomalies.Filter()
            filter.userID = call.text("user_id")
            filter.group = call.text("group")
            filter.leastSeverity = call.text("severity").flatMap { Double($0) }
            filter.before = call.integer("cursor").map(Int64.init)
            filter.limit = call.integer("limit") ?? 100
            let anomalies = try await services.blocking { [filter] in try recent.anomalies(filter) }
            var response = Response.json(bytes: json(anomalies))
            if anomalies.count == filter.limit, let last = anomalies.last {
                response.linkNext("/v1/anomalies", call, cursor: "\(last.number)")
            }
            return response
        },
        Endpoint(
            .get, "/v1/anomalies/{number}/audit", name: "auditAnomaly",
            summary: "Make an anomaly's verdict again, and say whether it is the same",
            details: """
                From its transactions, in the stream's file or else in the lake, and the model that it names, whatever is \
                active today; as `ml-service audit` does. Takes as long as reading those transactions does: one at a time.
                """,
            scope: .score,
            parameters: [
                .path("number", .integer(1...Int(Int32.max)), "As `/v1/anomalies` gives it.", example: 1)
            ],
            answers: [
                .ok("Whether it was reproduced", "Audit"),
                .problem(.notFound, "There is no such anomaly here, or nothing to make it again from"),
            ]
        ) { call, services in
            let number = Int64(call.integer("number") ?? 0)
            guard let recent = services.recent, let audit = services.audit,
                let anomaly = try await services.blocking({ try recent.anomaly(number) })
            else { throw Problem.notFound("there is no anomaly \(number) here") }
            try call.identity?.check(userID: anomaly.userID)
            guard let slot = auditing.take() else {
                throw Problem.later("audit-under-way", "another audit is under way", seconds: 5)
            }
            defer { slot.giveBack() }
            return try .json(
                AuditView(number: number, try await services.blocking { try audit(anomaly.verdict) }))
        },
    ]
}

private struct AuditView: Encodable {
    let number: Int64
    let outcome: String
    let difference: String?

    init(number: Int64, _ audit: VerdictAudit) {
        self.number = number
        switch audit {
        case .reproduced: (outcome, difference) = ("reproduced", nil)
        case .differs(let what): (outcome, difference) = ("differs", what)
        case .missing: (outcome, difference) = ("transaction-missing", nil)
        }
    }
}

/// `[{"number": 7, "group": "...", "verdict": {...}}]`, the verdicts as they were published, byte for byte.
func json(_ anomalies: [RecentAnomalies.Anomaly]) -> [UInt8] {
    var bytes = Array("[".utf8)
    for (index, anomaly) in anomalies.enumerated() {
        bytes += (index == 0 ? "" : ",").utf8
        bytes += "{\"number\":\(anomaly.number),\"group\":\"\(anomaly.group)\",\"verdict\":".utf8
        bytes += anomaly.verdict
        bytes += "}".utf8
    }
    return bytes + "]".utf8
}

/// Whether something that must not be done twice at once is being done. Thread-safe.
private final class OneAtATime: Sendable {
    struct Slot: Sendable {
        let owner: OneAtATime
        func giveBack() { owner.isTaken.withLock { $0 = false } }
    }

    private let isTaken = Mutex(false)

    func take() -> Slot? {
        isTaken.withLock { isTaken in
            defer { isTaken = true }
            return isTaken ? nil : Slot(owner: self)
        }
    }
}
