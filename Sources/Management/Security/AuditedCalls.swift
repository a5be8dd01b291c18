import Hummingbird

extension ManagementServices {
    /// Does what a call asks for. What may change something is written into the audit log, whatever comes of it, and is not
    /// begun while the log cannot be written.
    func audited(
        _ call: Call, _ endpoint: Endpoint, address: String?, _ body: () async throws -> Response
    ) async throws -> Response {
        guard let auditLog, endpoint.isChanging else { return try await body() }
        guard try await blocking({ auditLog.isWritable }) else {
            throw Problem.later(
                "audit-log-failed", "the audit log cannot be written, and nothing is changed without it",
                seconds: 10)
        }
        let status: Int
        let outcome: Result<Response, any Error>
        do {
            let response = try await body()
            (status, outcome) = (response.status.code, .success(response))
        } catch {
            (status, outcome) = (Problem(of: error).status.code, .failure(error))
        }
        let entry = AuditLog.Entry(
            actor: call.caller, address: address ?? "unknown", action: endpoint.name,
            detail: Self.detail(call), status: status)
        try await blocking { auditLog.note(entry) }
        return try outcome.get()
    }

    /// A key that was sent and does not do. Who has to wait for having sent many is not written down again and again.
    func noteRefusal(_ problem: Problem, _ endpoint: Endpoint, address: String?) async {
        guard let auditLog, problem.status != .tooManyRequests else { return }
        let entry = AuditLog.Entry(
            actor: "refused: \(problem.name)", address: address ?? "unknown", action: endpoint.name,
            detail: [:], status: problem.status.code)
        try? await blocking { auditLog.note(entry) }
    }

    private static func detail(_ call: Call) -> [String: String] {
        var detail = call.path.merging(call.query) { $1 }.merging(call.record.all) { $1 }
        if let userID = detail.removeValue(forKey: "user_id") {
            detail["user_sha256"] = AuditLog.hash(ofUser: userID)
        }
        return detail
    }
}
