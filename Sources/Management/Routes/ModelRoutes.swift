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
        let text = try context.parameters.require("version")
        guard let version = Int(text.hasPrefix("v") ? String(text.dropFirst()) : text), version > 0 else {
            throw Problem.invalid("'\(text)' is no version; write 3 or v3", field: "version")
        }
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
                _ = try services.removeWindow?(userID)
            }
        } catch {
            throw Problem(of: error)
        }
        return Response(status: .noContent)
    }
}

private struct PromotionView: Encodable {
    let tenant: String
    let version: Int
    let previous: Int?
    /// false: it was the active version already.
    let changed: Bool
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
