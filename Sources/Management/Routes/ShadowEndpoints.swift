import Foundation
import HTTPTypes
import Hummingbird
import Models
import Serving

func shadowEndpoints() -> [Endpoint] {
    let version = Endpoint.Parameter.path("version", .version, "The candidate, `3` or `v3`.", example: "v3")
    let path = "/v1/models/{version}/shadow"
    return [
        Endpoint(
            .post, path, name: "startShadow",
            summary: "Have a candidate score the stream beside the active global model",
            details: """
                It publishes nothing and delays nothing: it scores what has been delivered, on a thread of its own, and leaves \
                batches out when it does not keep up. Every process that scores takes part, within `models.seconds`. It ends by \
                itself; sent again while it goes on, it stays as it is.
                """,
            scope: .promote,
            parameters: [
                version,
                .query("minutes", .integer(1...43_200), "When it ends; without it: 1440.", example: 60),
                .query(
                    "transactions", .integer(1...1_000_000_000),
                    "It ends in a process that has scored so many with it; without it: 1000000.",
                    example: 100_000),
            ],
            answers: [
                .ok("What it has counted so far in this process", "Shadow"),
                .problem(.notFound, "There is no such version"),
                .problem(.conflict, "Another version is the shadow"),
            ]
        ) { call, services in
            try call.identity?.check(userID: nil)
            let (version, caller) = (call.version("version") ?? 0, call.caller)
            let (minutes, transactions) = (call.integer("minutes") ?? 1_440, call.integer("transactions"))
            return try .json(
                try await services.blocking {
                    try start(version, minutes: minutes, transactions: transactions, by: caller, services)
                })
        },
        Endpoint(
            .get, path, name: "shadow",
            summary: "What a shadow and the active version said of the same transactions",
            details: """
                Statistics of the process that answers, since it began or since another version was promoted. Transactions of \
                users whose own model serves are not among them.
                """,
            scope: .read, parameters: [version],
            answers: [
                .ok("Counts, and the latest transactions of which they differ", "Shadow"),
                .problem(.notFound, "That version has been no shadow in this process lately"),
            ]
        ) { call, services in
            try call.identity?.check(userID: nil)
            let version = call.version("version") ?? 0
            guard let shadow = services.shadow else {
                throw Problem.notFound("this process does not score: ask one with the role inference")
            }
            let report = try await services.blocking {
                shadow.refresh()
                return shadow.report(version: version)
            }
            guard let report else {
                throw Problem.notFound("v\(version) has been no shadow in this process lately")
            }
            return try .json(ShadowView(report))
        },
        Endpoint(
            .delete, path, name: "stopShadow", summary: "Stop a shadow; what it has counted stays to be read",
            scope: .promote, parameters: [version],
            answers: [
                Endpoint.Answer(status: .noContent, meaning: "It scores no more", schema: nil),
                .problem(.notFound, "That version is not the shadow"),
            ]
        ) { call, services in
            try call.identity?.check(userID: nil)
            let version = call.version("version") ?? 0
            let wasThere = try await services.blocking {
                defer { services.shadow?.refresh() }
                return try ShadowStore(objects: services.models.objects).stop(
                    version: version, now: milliseconds())
            }
            guard wasThere else { throw Problem.notFound("v\(version) is not the shadow") }
            return Response(status: .noContent)
        },
    ]
}

private func milliseconds() -> Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

private func start(
    _ version: Int, minutes: Int, transactions: Int?, by caller: String, _ services: ManagementServices
) throws -> ShadowView {
    guard try services.models.header(of: .global, version: version) != nil else {
        throw Problem(
            .notFound, "not-found", "there is no version v\(version) of the global model", field: "version")
    }
    guard try services.catalogue.active(.global) != version else {
        throw Problem.invalid("v\(version) is the active version: it scores already", field: "version")
    }
    let now = milliseconds()
    let plan = try ShadowStore(objects: services.models.objects).start(
        ShadowPlan(
            version: version, by: caller, startedMilliseconds: now,
            endsMilliseconds: now + Int64(minutes) * 60_000, maximumTransactions: transactions ?? 1_000_000),
        now: now)
    services.shadow?.refresh()
    return ShadowView(services.shadow?.report(version: version) ?? ShadowReport(plan))
}

/// A shadow as the API shows it.
struct ShadowView: Encodable {
    struct Change: Encodable {
        let transactionId: String
        let userId: String
        let timeMs: Int64
        let severity: Double?

        init(_ change: ShadowReport.Change) {
            transactionId = change.transactionID
            userId = change.userID
            timeMs = change.timeMilliseconds
            severity = change.severity
        }
    }

    let version: String
    let against: String?
    let state: String
    let endedBecause: String?
    let by: String
    let startedMs: Int64
    let endsMs: Int64
    let maximumTransactions: Int
    let transactions: Int
    let skipped: Int
    let alerts: Int
    let againstAlerts: Int
    let budget: Double?
    let againstBudget: Double?
    let newAlerts: Int
    let droppedAlerts: Int
    let new: [Change]
    let dropped: [Change]
    let rankCorrelation: Double?
    let seconds: Double

    init(_ report: ShadowReport) {
        version = "v\(report.plan.version)"
        against = report.activeVersion.map { "v\($0)" }
        state = report.ending == nil ? "running" : "ended"
        endedBecause = report.ending
        by = report.plan.by
        startedMs = report.plan.startedMilliseconds
        endsMs = report.plan.endsMilliseconds
        maximumTransactions = report.plan.maximumTransactions
        transactions = report.transactions
        skipped = report.skipped
        alerts = report.candidateAlerts
        againstAlerts = report.activeAlerts
        budget = report.candidateBudget
        againstBudget = report.activeBudget
        newAlerts = report.newAlerts
        droppedAlerts = report.droppedAlerts
        new = report.new.map(Change.init)
        dropped = report.dropped.map(Change.init)
        rankCorrelation = report.rankCorrelation
        seconds = report.seconds
    }
}
