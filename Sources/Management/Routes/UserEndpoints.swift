import Foundation
import Hummingbird
import Models
import Serving

func userEndpoints() -> [Endpoint] {
    let userID = Endpoint.Parameter.path(
        "user_id", .text(1...256), "The user's id, percent-encoded.", example: "user-000001")
    return [
        Endpoint(
            .get, "/v1/users/{user_id}", name: "user",
            summary: "Which model serves a user and why, the window in words, labels, what was found lately",
            details: """
                `window` is as of its own last event: the last hour, day, week and 30 days count back from there, so that the \
                same window gives the same words. It is null where the user has none, where it is damaged (`has_window` is \
                true), and where it is in the memory of another process (`has_window` is absent). `labels` are the newest 20 \
                of the last 90 days that the lake has; `GET /v1/users/{user_id}/labels` has all. Where the lake cannot be read \
                `labels_error` says why in their place.
                """,
            scope: .read, parameters: [userID], answers: [.ok("What is known", "User")]
        ) { call, services in
            let userID = call.text("user_id") ?? ""
            try call.identity?.check(userID: userID)
            return .json(bytes: try await services.blocking { try userView(userID, services) })
        },
        Endpoint(
            .delete, "/v1/users/{user_id}", name: "eraseUser",
            summary: "Remove a user's models, window, jobs, events and rules, and what caches hold of them",
            details: """
                The answer is a receipt: what was removed where, and whose rules are gone (`rules`), so that their authors \
                can be told. `202` where a part is not done yet, with what it waits for: \
                ask again. When nothing is left the answer is `404`. Answers that are kept for an `Idempotency-Key` and name \
                the user go too; a receipt with such a key is kept for up to two days, or until the user is erased again.
                """,
            scope: .erase, parameters: [userID],
            answers: [
                .ok("Removed", "Receipt"),
                Endpoint.Answer(
                    status: .accepted, meaning: "Removed, but for what is pending", schema: "Receipt"),
                .problem(.notFound, "There is nothing of this user here"),
            ]
        ) { call, services in
            let userID = call.text("user_id") ?? ""
            try call.identity?.check(userID: userID)
            let receipt = try await services.blocking {
                try erase(userID, call, services)
            }
            guard receipt.isAnything else { throw Problem.notFound("there is nothing of this user here") }
            return try .json(receipt, status: receipt.state == .done ? .ok : .accepted)
        },
    ]
}

/// The user's JSON, into which recent anomalies are put as they were published.
private func userView(_ userID: String, _ services: ManagementServices) throws -> [UInt8] {
    let serving = services.promotion.serving(userID: userID)
    var filter = RecentAnomalies.Filter()
    filter.userID = userID
    filter.limit = 20
    let recent = try services.recent?.anomalies(filter) ?? []
    let look = try services.windows?.look(userID)
    let labels = Result {
        try services.labelled.of(user: userID, from: nil, to: nil, limit: UserView.labelLimit)
    }
    var labelsError: String?
    if case .failure(let failure) = labels { labelsError = "\(failure)" }
    let view = UserView(
        userId: userID,
        serving: UserView.Serving(
            tenant: serving.tenant.description, version: serving.version.map { "v\($0)" },
            reason: serving.reason),
        versions: try services.models.stored(of: .user(userID)).count,
        hasWindow: look.map { if case .none = $0 { false } else { true } },
        window: UserWindowView(look), labels: (try? labels.get())?.map(UserLabelView.init),
        labelsError: labelsError)
    let text = String(decoding: try JSONEncoder.answers.encode(view), as: UTF8.self)
    return Array(
        text.replacing("\"recent\":[]", with: "\"recent\":" + String(decoding: json(recent), as: UTF8.self))
            .utf8)
}

/// What was removed where.
struct Receipt: Encodable {
    enum State: String, Encodable { case done, pending }

    struct Part: Encodable {
        let what: String
        let `where`: String
        let removed: Int
        var state = State.done
        /// What it waits for.
        var note: String?
    }

    /// A rule that named the user.
    struct LostRule: Encodable {
        let id: String
        let action: String
        let author: String
    }

    let userId: String
    let timeMs: Int64
    var parts: [Part] = []
    var rules: [LostRule] = []
    /// What erasing does not reach, because it is not this service's.
    let kept = ["the lake, and the records of the stream's topics or files"]

    var state: State { parts.contains { $0.state == .pending } ? .pending : .done }
    var isAnything: Bool { parts.contains { $0.removed > 0 || $0.state == .pending } }

    private enum CodingKeys: CodingKey { case userId, timeMs, parts, rules, kept, state }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(userId, forKey: .userId)
        try container.encode(timeMs, forKey: .timeMs)
        try container.encode(parts, forKey: .parts)
        try container.encode(rules, forKey: .rules)
        try container.encode(kept, forKey: .kept)
        try container.encode(state, forKey: .state)
    }
}

/// Jobs first, so that none makes a model anew; then what serves; then what is kept.
private func erase(_ userID: String, _ call: Call, _ services: ManagementServices) throws -> Receipt {
    let now = Int64(Date().timeIntervalSince1970 * 1_000)
    var receipt = Receipt(userId: userID, timeMs: now)
    let jobs = try services.jobs.erase(userID: userID)
    receipt.parts.append(.init(what: "jobs", where: services.jobs.location, removed: jobs))

    services.shadow?.erase(userID: userID)
    let erased = try services.promotion.erase(.user(userID))
    let store = services.models.objects.location
    receipt.parts += [
        .init(what: "models", where: store, removed: erased.versions),
        .init(what: "catalogue", where: store, removed: (erased.wasKnown ? 1 : 0) + erased.history),
        .init(what: "cache", where: "this machine", removed: erased.cached),
        .init(
            what: "events", where: "the stream of promotions", removed: erased.events,
            state: erased.eventsFailure == nil ? .done : .pending, note: erased.eventsFailure),
    ]
    if let recent = services.recent {
        let removed = try recent.erase(userID: userID)
        receipt.parts.append(.init(what: "recent anomalies", where: "this machine", removed: removed))
    }
    services.events.erase(userID: userID)
    let rules = try services.rules.erase(userID: userID, by: call.caller, now: now)
    services.currentRules?.refresh()
    receipt.rules = rules.rules.map {
        .init(id: $0.id, action: $0.action.rawValue, author: $0.author)
    }
    let unreadable = rules.unreadable.map { "v\($0)" }.joined(separator: ", ")
    receipt.parts.append(
        .init(
            what: "rules", where: services.rules.location, removed: rules.rules.count + rules.versions.count,
            state: unreadable.isEmpty ? .done : .pending,
            note: unreadable.isEmpty
                ? nil : "damaged, and naming the user: \(unreadable); remove them from rules/ by hand"))
    let answers = try services.repeated.erase(
        userID: userID, erasure: RepeatedCalls.fingerprint("eraseUser", call))
    receipt.parts.append(
        .init(
            what: "answers", where: store, removed: answers,
            note: call.header("Idempotency-Key").map { _ in
                "this receipt is kept for up to two days for its Idempotency-Key; erasing the user again removes it"
            }))
    let wasAnything = receipt.isAnything
    let told = "other processes forget the user when they next look into the store"
    if let windows = services.windows {
        let removal = try windows.remove(userID)
        receipt.parts.append(
            .init(
                what: "windows", where: windows.location, removed: removal.removed,
                state: removal.pending == nil ? .done : .pending, note: removal.pending))
    } else {
        // Somebody else's memory may have one. A second call finds nothing new, and does not wait again.
        receipt.parts.append(
            .init(
                what: "windows", where: "processes that score", removed: 0,
                state: wasAnything ? .pending : .done, note: wasAnything ? told : nil))
    }
    if receipt.isAnything {
        try ErasureNotices(objects: services.models.objects).post(userID: userID, now: now)
        receipt.parts.append(
            .init(what: "notice", where: store, removed: 0, note: "kept for a day; \(told)"))
    }
    return receipt
}
