import Foundation
import Hummingbird
import Models

func modelEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v1/models", name: "models", summary: "The versions of a tenant's models, newest first",
            details: """
                An array, as ever. Where there are more than `limit`, the header `Link` names the next page \
                (`rel="next"`). `ETag` names which versions there are and which one is active, for `If-Match`.
                """,
            scope: .read,
            parameters: [
                Endpoint.userID,
                .query("limit", .integer(1...1_000), "Versions at most; without it: 100.", example: 20),
                .query("cursor", .version, "Only versions older than this one.", example: "v12"),
            ],
            answers: [.list("Versions", of: "Model")]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            return try await services.blocking { try modelPage(call, services) }
        },
        Endpoint(
            .get, "/v1/models/changes", name: "modelChanges",
            summary: "Which version was made active when, by whom and why, oldest first",
            details: """
                Where there are more than `limit`, the header `Link` names the next page (`rel="next"`).
                """,
            scope: .read,
            parameters: [
                Endpoint.userID,
                .query("limit", .integer(1...1_000), "Changes at most; without it: 1,000.", example: 20),
                .query(
                    "cursor", .integer(0...Int(Int32.max)), "Only changes after this one; its `sequence`."),
            ],
            answers: [.list("Changes", of: "ModelChange")]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            let (tenant, after) = (call.tenant, call.integer("cursor") ?? 0)
            let limit = call.integer("limit") ?? 1_000
            let changes = try await services.blocking {
                try services.catalogue.changes(of: tenant).filter { $0.sequence > after }
            }
            return try .page(changes, limit: limit, "/v1/models/changes", call, \.self) { "\($0.sequence)" }
        },
        Endpoint(
            .post, "/v1/models/{version}/promote", name: "promoteModel",
            summary: "Make a version the active one; an older one rolls back",
            details: """
                The version is loaded and tried first: if it cannot serve, nothing changes. Where `promote.identities` is 2 \
                the first call is answered with `202` and changes nothing; the same call with a key of another name within \
                a day makes the version active.
                """,
            scope: .promote,
            parameters: [
                .path(
                    "version", .versionName,
                    "`3` or `v3`; `challenger`: the newest; `previous`: the one that was active before.",
                    example: "v3"), Endpoint.userID,
                .query("reason", .text(1...1_000), "Why, for the history; without it: by hand."),
                .header(
                    "If-Match", .text(1...1_000),
                    "The `ETag` of `GET /v1/models` that the caller has looked at; with another one nothing changes."
                ),
            ],
            answers: [
                .ok("The change", "Promotion"),
                Endpoint.Answer(
                    status: .accepted, meaning: "Somebody else has to confirm it", schema: "PendingPromotion"),
                .problem(.notFound, "There is no such version"),
                .problem(
                    .conflict, "The version cannot serve, or somebody promoted another; nothing has changed"),
                .problem(
                    .preconditionFailed,
                    "The models are not those of `If-Match` any more; nothing has changed"),
            ]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            let (tenant, name) = (call.tenant, call.text("version").flatMap(VersionName.init(parsing:)))
            let (reason, caller) = (call.text("reason") ?? "by hand", call.caller)
            let match = call.header("If-Match")
            let (version, pending, changes) = try await services.blocking {
                let seen = try match.map { try ModelsTag(of: tenant, services).check($0) }
                return try promote(
                    name ?? .champion, of: tenant, seen: seen, by: caller, reason: reason, services)
            }
            if let pending, changes == nil {
                call.record.set("pending", "v\(version)")
                return try .json(
                    PendingPromotionView(
                        tenant: tenant.description, version: "v\(version)", askedBy: pending.by,
                        reason: pending.reason,
                        expiresMs: pending.timeMilliseconds + PendingPromotions.keptMilliseconds),
                    status: .accepted)
            }
            call.record.set("asked_by", pending?.by)
            call.record.set("from", changes?.first?.from.map { "v\($0)" })
            call.record.set("to", "v\(version)")
            return try .json(
                PromotionView(
                    tenant: tenant.description, version: "v\(version)",
                    previous: changes?.first?.from.map { "v\($0)" }, changed: changes?.isEmpty == false))
        },
        Endpoint(
            .get, "/v1/models/{version}/drift", name: "modelDrift",
            summary: "How a serving version's alerts, scores and features have moved from its training",
            scope: .read,
            parameters: [.path("version", .version, "`3` or `v3`.", example: "v3"), Endpoint.userID],
            answers: [
                .ok("Alert rate and budget of the last hour, population stability indices", "Drift"),
                .problem(.notFound, "This process has not scored with it"),
            ]
        ) { call, services in
            try call.identity?.check(userID: call.text("user_id"))
            let (tenant, version) = (call.tenant, call.version("version") ?? 0)
            guard let watch = services.watch else {
                throw Problem.notFound("this process does not serve: ask one with the role inference")
            }
            guard let report = watch.report(of: tenant, version: version) else {
                throw Problem.notFound(
                    "this process has scored nothing with v\(version) of \(tenant): is it active, and is there a stream?"
                )
            }
            return try .json(DriftView(report))
        },
        Endpoint(
            .get, "/v1/quarantine", name: "quarantine",
            summary: "Versions that do not serve in this process although they are active, and why",
            details: """
                The global model's by version, then each user's. `user_id` is absent for the global model. A key that is for \
                some users only sees theirs. Where there are more than `limit`, the header `Link` names the next page (`rel="next"`).
                """,
            scope: .read,
            parameters: [
                .query("limit", .integer(1...1_000), "Versions at most; without it: 1,000.", example: 20),
                .query(
                    "cursor", .text(3...300),
                    "Only those after this one: its `version`, a slash, `global` or `user:` and its `user_id`."
                ),
            ],
            answers: [.list("Versions out of service", of: "Quarantined")]
        ) { call, services in
            let after = try call.text("cursor").map(QuarantinePlace.init(cursor:))
            let limit = call.integer("limit") ?? 1_000
            let models = services.promotion.quarantinedModels.filter { model in
                guard (try? call.identity?.check(userID: model.tenant.userID)) != nil || call.identity == nil
                else { return false }
                return after.map { $0 < QuarantinePlace(model) } ?? true
            }
            return try .page(models, limit: limit, "/v1/quarantine", call, { QuarantinedView($0) }) {
                QuarantinePlace($0).cursor
            }
        },
    ]
}

/// - Returns: The version; who had asked for it first, where two must; what changed, nil while it waits.
private func promote(
    _ name: VersionName, of tenant: Tenant, seen: ActiveModel??, by caller: String, reason: String,
    _ services: ManagementServices
) throws -> (version: Int, pending: PendingPromotions.Pending?, changes: [ModelChange]?) {
    let version = try services.promotion.version(named: name, of: tenant)
    guard services.promotionIdentities > 1 else {
        return (
            version, nil,
            try services.promotion.promote(
                [tenant: version], expected: seen, by: caller, reason: reason)
        )
    }
    // What is not there is said at once.
    guard try services.models.header(of: tenant, version: version) != nil else {
        throw ModelLoadError.notFound(tenant: tenant.description, version: version)
    }
    let waiting = PendingPromotions(objects: services.models.objects)
    let now = Int64(Date().timeIntervalSince1970 * 1_000)
    switch try waiting.ask(tenant, version: version, by: caller, reason: reason, now: now) {
    case .waits(let pending): return (version, pending, nil)
    case .confirmed(let pending):
        let changes = try services.promotion.promote(
            [tenant: version], expected: seen, by: "\(pending.by), confirmed by \(caller)",
            reason: pending.reason)
        // The promotion has happened; what is left here would only be confirmed once more.
        try waiting.remove(tenant)
        return (version, pending, changes)
    }
}

private struct PendingPromotionView: Encodable {
    let tenant: String
    let version: String
    let askedBy: String
    let reason: String
    let expiresMs: Int64
}

private struct PromotionView: Encodable {
    let tenant: String
    let version: String
    let previous: String?
    /// false: it was the active version already.
    let changed: Bool
}

/// Where a version stands among those out of service.
private struct QuarantinePlace: Comparable {
    let tenant: Tenant
    let version: Int

    init(_ model: QuarantinedModel) {
        tenant = model.tenant
        version = model.version
    }

    /// - Parameter cursor: `v3/user:user-000001`; ids may have slashes.
    /// - Throws: `Problem` 422.
    init(cursor: String) throws {
        let parts = cursor.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let version = Call.version(String(parts[0])),
            let tenant = Tenant(name: String(parts[1]))
        else {
            throw Problem.invalid(
                "write a version, a slash and whose it is: v3/global, v3/user:user-000001", field: "cursor")
        }
        self.version = version
        self.tenant = tenant
    }

    var cursor: String { "v\(version)/\(tenant.name)" }

    static func < (a: Self, b: Self) -> Bool { (a.tenant, a.version) < (b.tenant, b.version) }
}

private struct QuarantinedView: Encodable {
    let tenant: String
    /// nil: the global model.
    let userId: String?
    let version: String
    let fallback: String
    let reason: String

    init(_ model: QuarantinedModel) {
        tenant = model.tenant.description
        userId = model.tenant.userID
        version = "v\(model.version)"
        fallback = model.fallback.rawValue
        reason = model.reason
    }
}

/// A version as the API shows it.
struct ModelView: Encodable {
    let version: String
    let active: Bool
    let userId: String?
    let detector: String?
    let detectorVersion: String?
    let accuracy: Double?
    let threshold: Double?
    /// From which severity on there are alerts.
    let severityAtThreshold: Double?
    let contamination: Double?
    let metrics: [String: Double]?
    let candidates: [CandidateView]?
    let gate: [GateView]?
    let rows: Int?
    let trainedFrom: String?
    let trainedTo: String?
    let createdMs: Int64?
    let parent: String?
    let sizeBytes: Int
    /// Why the artifact cannot be read.
    let error: String?

    init(
        _ stored: ModelStore.StoredVersion, isActive: Bool, header: Result<ArtifactHeader?, any Error>
    ) {
        version = "v\(stored.version)"
        active = isActive
        sizeBytes = stored.sizeBytes
        let known = try? header.get()
        userId = known?.userID
        detector = known?.detectorID
        detectorVersion = known?.detectorVersion
        accuracy = known?.metrics["accuracy"]
        threshold = known?.threshold
        severityAtThreshold = known.flatMap { header in
            header.severity.map { SeverityScale($0).severity(of: header.threshold) }
        }
        contamination = known?.contamination
        metrics = known?.metrics
        candidates = known.flatMap { $0.candidates.isEmpty ? nil : $0.candidates.map(CandidateView.init) }
        gate = known.flatMap { $0.gate.isEmpty ? nil : $0.gate.map(GateView.init) }
        rows = known?.rowCount
        trainedFrom = known?.trainingRange.from
        trainedTo = known?.trainingRange.to
        createdMs = known?.createdMilliseconds
        parent = known?.parent.map { "v\($0)" }
        if case .failure(let failure) = header { error = "\(failure)" } else { error = nil }
    }
}

/// Reads headers only: an artifact may be large, and a tenant may have many.
private func modelPage(_ call: Call, _ services: ManagementServices) throws -> Response {
    let tenant = call.tenant
    let tag = try ModelsTag(of: tenant, services)
    let active = tag.active?.version
    let before = call.version("cursor") ?? .max
    let limit = call.integer("limit") ?? 100
    let stored = tag.stored.reversed().filter { $0.version < before }
    let views = stored.prefix(limit).map { stored in
        ModelView(
            stored, isActive: stored.version == active,
            header: Result {
                try services.models.header(of: tenant, version: stored.version, stored: stored)
            })
    }
    var response = try Response.json(views)
    response.headers[.eTag] = tag.text
    if stored.count > limit, let last = views.last {
        response.linkNext("/v1/models", call, cursor: last.version)
    }
    return response
}

/// Which versions a tenant has and which one is active, as one text: an `ETag`.
private struct ModelsTag {
    let stored: [ModelStore.StoredVersion]
    let active: ActiveModel?

    init(of tenant: Tenant, _ services: ManagementServices) throws {
        // What is active first: a version that is stored meanwhile makes another tag, never the same one.
        active = try services.catalogue.active([tenant])[tenant]
        stored = try services.models.stored(of: tenant)
    }

    var text: String {
        let newest = stored.last?.version ?? 0
        return "\"\(newest)-\(stored.count)-\(active?.version ?? 0)-\(active?.sequence ?? 0)\""
    }

    /// - Returns: What is active, if it is what the caller has looked at.
    /// - Throws: `Problem` 412.
    func check(_ match: String) throws -> ActiveModel? {
        let tags = match.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        guard tags == ["*"] ? !stored.isEmpty : tags.contains(text) else {
            throw Problem(
                .preconditionFailed, "models-changed",
                "the models are not what you have looked at: \(active.map { "v\($0.version)" } ?? "none") is active, and the ETag is \(text)",
                field: "If-Match")
        }
        return active
    }
}
