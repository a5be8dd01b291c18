import Exact
import Foundation
import Hummingbird
import Lake
import Metrics
import Outcomes
import Training

func labelEndpoints() -> [Endpoint] {
    let userID = Endpoint.Parameter.path(
        "user_id", .text(1...256), "The user's id, percent-encoded.", example: "user-000001")
    return [
        Endpoint(
            .post, "/v1/labels", name: "label",
            summary: "Say what transactions turned out to be: one label, or an array of up to 10,000",
            details: """
                All are taken, or none: where one is wrong the answer is `422`, and `field` names which and what of it, \
                `labels[3].known_at` say. The latest `known_at` stands, of two at one moment the fraud. The same label \
                twice is once. A label may come before its transaction. A key that is for some users only cannot label.
                """,
            scope: .label,
            body: Endpoint.Body(
                schema: "Labels",
                example: [
                    [
                        "transaction_id": "t-1", "label": "fraud", "known_at": "2026-02-03T09:00:00Z",
                        "source": "chargeback",
                    ]
                ], maximumBytes: 8 << 20),
            answers: [
                .ok("What became of them; they are in the lake", "LabelReceipt"),
                .problem(.contentTooLarge, "The body has more than eight mebibytes"),
            ]
        ) { call, services in
            try call.identity?.check(userID: nil)
            let labels = try parsed(call.body)
            let receipt = try await services.blocking { try services.labels.take(labels, name: "api") }
            for (result, count) in receipt.counts where count > 0 {
                Counter(label: "ml_labels_total", dimensions: [("result", result)]).increment(by: count)
            }
            return try .json(receipt)
        },
        Endpoint(
            .get, "/v1/users/{user_id}/labels", name: "userLabels",
            summary: "Which of a user's transactions in the lake are labelled, newest first",
            details: """
                Without `from` and `to`: the last 90 days that the lake has. Where there are more than `limit`, the header \
                `Link` names the next page (`rel="next"`).
                """,
            scope: .read,
            parameters: [
                userID, .query("from", .day, "First day.", example: "2026-01-01"),
                .query("to", .day, "Last day.", example: "2026-02-14"),
                .query("limit", .integer(1...10_000), "Labels at most; without it: 1,000.", example: 20),
                .query(
                    "cursor", .text(3...1_100),
                    "Only older ones than this: its `timestamp` in milliseconds since 1970, a colon, its `transaction_id`."
                ),
            ],
            answers: [.list("Labels", of: "UserLabel")]
        ) { call, services in
            let userID = call.text("user_id") ?? ""
            try call.identity?.check(userID: userID)
            let (from, to) = (call.day("from"), call.day("to"))
            let limit = call.integer("limit") ?? 1_000
            let before = try call.text("cursor").map(place)
            let rows = try await services.blocking {
                try services.labelled.of(user: userID, from: from, to: to, before: before, limit: limit + 1)
            }
            let route = userID.addingPercentEncoding(withAllowedCharacters: .unreserved) ?? ""
            return try .page(rows, limit: limit, "/v1/users/\(route)/labels", call, { UserLabelView($0) }) {
                "\($0.place.timestampMilliseconds):\($0.place.transactionID)"
            }
        },
    ]
}

/// - Parameter cursor: `1770109200000:t-1`; ids may have colons.
/// - Throws: `Problem` 422.
private func place(_ cursor: String) throws -> LabelledTransactions.Place {
    let parts = cursor.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let time = Int64(parts[0]) else {
        throw Problem.invalid(
            "write milliseconds since 1970, a colon and a transaction's id", field: "cursor")
    }
    return LabelledTransactions.Place(timestampMilliseconds: time, transactionID: String(parts[1]))
}

private let maximumLabels = 10_000

/// - Throws: `Problem` naming the label and the field at fault.
private func parsed(_ body: [UInt8]) throws -> [Label] {
    let data = Data(body)
    let parser = LabelParser(defaultSource: "api", now: Int64(Date().timeIntervalSince1970 * 1_000))
    let labels: [Label]
    do {
        labels = try parser.labels(data)
    } catch {
        guard (try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)) != nil else {
            throw Problem(
                .badRequest, "invalid-json", "the body must be a label as a JSON object, or an array of them")
        }
        throw Problem.invalid(error.reason, field: error.path.isEmpty ? nil : error.path)
    }
    guard labels.count <= maximumLabels else {
        throw Problem.invalid(
            "there are \(labels.count); send at most \(maximumLabels) at once, or bring more by ml-service etl"
        )
    }
    return labels
}

/// A label as the API shows it.
struct UserLabelView: Encodable {
    let transactionId: String
    let timestamp: String
    let label: String
    let knownAt: String
    let source: String

    init(_ row: LabelledTransactions.Row) {
        transactionId = row.transactionID
        timestamp = TimeText.text(row.timestampMilliseconds)
        label = row.isFraud ? Label.fraud : Label.genuine
        knownAt = TimeText.text(row.knownMilliseconds)
        source = row.source
    }
}
