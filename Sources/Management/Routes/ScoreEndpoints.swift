import Hummingbird
import Serving

func scoreEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .post, "/v1/score", name: "score",
            summary: "What the service would say of transactions that are not in the stream",
            details: """
                One transaction, or an array of at most 1,000, as in the stream. They are scored against their users' windows \
                as they stand, as if they came next, and nothing is changed: no window, no verdict in a topic, no counter of \
                the stream. The verdicts are byte for byte what the stream would publish (with `stream.publish` all), but for \
                `source`, which is null. Transactions of one user follow one another. One that is none refuses all.
                """,
            scope: .score,
            body: Endpoint.Body(
                schema: "ScoreRequest",
                example: [
                    "transaction_id": "what-if-1", "user_id": "user-000001", "amount": 1_250.5,
                    "timestamp": "2026-03-01T03:12:00Z", "merchant_id": "merchant-0042", "country": "NL",
                ]),
            answers: [
                .ok("A verdict, or an array of as many", "ScoreAnswer"),
                .problem(.notFound, "This process has no windows to score against"),
                .problem(.contentTooLarge, "The body has more than a mebibyte"),
            ]
        ) { call, services in
            let scoring = try scoring(services)
            let (isArray, messages) = try JSONElements.cut(call.body)
            guard !messages.isEmpty, messages.count <= OnDemandLimit.transactions else {
                throw Problem.invalid("an array holds 1 to \(OnDemandLimit.transactions) transactions")
            }
            let verdicts = try await services.blocking {
                do {
                    return verdictsOnDemand(
                        try scoring.score(messages) { try call.identity?.check(userID: $0) })
                } catch let error as RejectedTransaction where !isArray {
                    throw Problem(rejected: error, isAlone: true)
                }
            }
            guard isArray else { return .json(bytes: verdicts.first ?? []) }
            return .json(
                bytes: Array("[".utf8) + verdicts.joined(separator: [UInt8(ascii: ",")]) + Array("]".utf8))
        }
    ]
}

enum OnDemandLimit {
    /// In one request.
    static let transactions = 1_000
}

/// - Throws: `Problem` 404 when this process cannot score.
func scoring(_ services: ManagementServices) throws -> OnDemandScoring {
    guard let scoring = services.scoring else {
        throw Problem.notFound(
            "this process has no windows to score against: ask one with the role inference, or name a Redis")
    }
    return scoring
}

/// One JSON object for each transaction.
func verdictsOnDemand(_ scored: ScoredBatch) -> [[UInt8]] {
    var found: [[UInt8]] = []
    verdicts(scored, publish: .all, rows: Array(0..<scored.count), namesSource: false).visit {
        _, _, verdict in
        found.append(Array(verdict))
    }
    return found
}
