import Foundation
import Logging
import Management

/// Tries what the HTTP API is made of, as `serve` reads it: keys, certificate, audit log, and where it posts to.
struct HTTPCheckup {
    let settings: Settings
    let logger: Logger

    func findings() -> [Finding] {
        var findings = [keys(), auditLog()]
        if ["http.certificate", "http.certificatekey", "http.clientca"].contains(where: {
            settings.optionalText($0) != nil
        }) {
            findings.append(
                checked("certificate", "renew it, or name its files: http.certificate, http.certificatekey") {
                    _ = try Assembly.tls(settings, logger: logger)
                    return Finding("http", "certificate", .good, settings.text("http.certificate"))
                })
        }
        if settings.optionalText("webhooks.url") != nil {
            findings.append(
                checked("webhooks", "check webhooks.url, webhooks.ca and webhooks.secret") {
                    _ = try Assembly.webhookTarget(settings)
                    return Finding("http", "webhooks", .good, "an address and a secret that can be used")
                })
        }
        return findings
    }

    private func keys() -> Finding {
        checked("keys", "write entries by ml-service keys make (http.keys), or set a longer admin.key") {
            _ = try Assembly.keys(settings, logger: logger)
            let named = ["admin.key", "http.keys"].filter { settings.optionalText($0) != nil }
            return Finding(
                "http", "keys", named.isEmpty ? .warning : .good,
                named.isEmpty ? "none: changing calls are refused" : named.joined(separator: " and "),
                advice: named.isEmpty ? "set admin.key, or http.keys" : "")
        }
    }

    private func auditLog() -> Finding {
        let path = settings.optionalText("http.auditlog") ?? settings.dataPath("audit.log")
        guard path != "none" else { return Finding("http", "audit log", .warning, "none is kept") }
        guard FileManager.default.fileExists(atPath: path) else {
            return Finding("http", "audit log", .good, "\(path) is not there yet; serve makes it")
        }
        return checked(
            "audit log", "keep it for whoever looks into it, and name another file (http.auditlog)"
        ) {
            let found = try AuditLog.verify(path)
            return Finding(
                "http", "audit log", .good, "\(found.entries) entries, each follows the one before it")
        }
    }

    private func checked(_ check: String, _ advice: String, _ body: () throws -> Finding) -> Finding {
        Finding.of("http", check, advice: advice, isRetryable: { _ in false }, body)
    }
}
