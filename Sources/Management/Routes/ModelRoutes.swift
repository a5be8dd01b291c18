import Foundation
import Hummingbird
import Models

func addModelRoutes(to router: Router<BasicRequestContext>, _ services: ManagementServices) {
    router.get("/v1/models") { request, _ in
        let tenant = try tenant(of: request)
        do {
            return try Response.json(try await services.blocking { try modelViews(of: tenant, services) })
        } catch {
            throw Problem(of: error)
        }
    }
    router.get("/v1/models/changes") { request, _ in
        let tenant = try tenant(of: request)
        return try Response.json(try await services.blocking { try services.catalogue.changes(of: tenant) })
    }
    router.post("/v1/models/:version/promote") { request, context in
        try services.adminKey.check(request)
        let tenant = try tenant(of: request)
        let version = try version(of: context)
        let reason = request.uri.queryParameters["reason"].map(String.init) ?? "by hand"
        do {
            let changes = try await services.blocking {
                try services.promotion.promote([tenant: version], by: "admin", reason: reason)
            }
            return try Response.json(
                PromotionView(
                    tenant: tenant.description, version: version, previous: changes.first?.from,
                    changed: !changes.isEmpty))
        } catch {
            throw Problem(of: error)
        }
    }
    router.delete("/v1/users/:user_id") { request, context in
        try services.adminKey.check(request)
        let userID = try checkedUserID(
            try context.parameters.require("user_id").removingPercentEncoding ?? "")
        do {
            try await services.blocking {
                try services.promotion.erase(.user(userID), by: "admin")
                try services.removeWindow?(userID)
            }
        } catch {
            throw Problem(of: error)
        }
        return Response(status: .noContent)
    }
}

/// The version that the path names: 3 or v3.
func version(of context: BasicRequestContext) throws -> Int {
    let text = try context.parameters.require("version")
    guard let version = Int(text.hasPrefix("v") ? String(text.dropFirst()) : text), version > 0 else {
        throw Problem.invalid("'\(text)' is no version; write 3 or v3", field: "version")
    }
    return version
}

private struct PromotionView: Encodable {
    let tenant: String
    let version: Int
    let previous: Int?
    /// false: it was the active version already.
    let changed: Bool
}

/// A candidate of `detector: auto` as the API shows it.
struct CandidateView: Encodable {
    let name: String
    let features: String
    let chosen: Bool
    let measures: [String: Double]
    let note: String?

    init(_ candidate: CandidateJudgement) {
        name = candidate.name
        features = candidate.features
        chosen = candidate.isChosen
        measures = candidate.measures
        note = candidate.note
    }
}

/// A line of the gate's table as the API shows it.
struct GateView: Encodable {
    let name: String
    let value: Double
    let bound: String
    let limit: Double
    let passed: Bool

    init(_ check: GateCheck) {
        name = check.name
        value = check.value
        bound = check.bound.rawValue
        limit = check.limit
        passed = check.isPassed
    }
}

/// A version as the API shows it.
private struct ModelView: Encodable {
    let version: Int
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
    let parent: Int?
    /// Why the artifact cannot be read.
    let error: String?

    init(version: Int, isActive: Bool, header: Result<ArtifactHeader?, any Error>) {
        self.version = version
        active = isActive
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
        parent = known?.parent
        if case .failure(let failure) = header { error = "\(failure)" } else { error = nil }
    }
}

private func modelViews(of tenant: Tenant, _ services: ManagementServices) throws -> [ModelView] {
    let active = try services.catalogue.active(tenant)
    return try services.models.versions(of: tenant).reversed().map { version in
        ModelView(
            version: version, isActive: version == active,
            header: Result { try services.models.header(of: tenant, version: version) })
    }
}
