import Logging
import Management
import ServiceLifecycle

/// Who may use the HTTP API, what is written down of it, and where it listens.
extension Assembly {
    static func keys(_ settings: Settings, logger: Logger) throws -> KeyRing {
        let isLoopback = Plaintext.isLoopback(settings.text("http.host"))
        let isOpen =
            switch settings.text("http.publicread") {
            case "yes": true
            case "no": false
            default: isLoopback
            }
        if let key = settings.optionalText("admin.key"), let weakness = KeyRing.weakness(of: key) {
            guard isLoopback else {
                throw UsageError("admin.key is too weak beyond this machine: \(weakness)")
            }
            logger.notice(
                "the admin key would not do beyond this machine", metadata: ["reason": "\(weakness)"])
        }
        let isThisMachine: @Sendable (String) -> Bool = {
            Plaintext.isLoopback(Plaintext.host(of: Substring($0)))
        }
        let openNames = settings.text("http.publicread") == "yes" ? nil : isThisMachine
        do {
            return try KeyRing(
                adminKey: settings.optionalText("admin.key"), file: settings.optionalText("http.keys"),
                isReadingOpen: isOpen, openNames: openNames, logger: logger)
        } catch let error as KeyFileError {
            throw UsageError("http.keys: \(error)")
        }
    }

    /// nil: nobody is told.
    static func webhookTarget(_ settings: Settings) throws -> Webhooks.Target? {
        guard let url = settings.optionalText("webhooks.url") else { return nil }
        try Parts.checkReadable("webhooks.ca", settings)
        do {
            return try Webhooks.Target(
                url: url, secret: settings.text("webhooks.secret"),
                authorities: settings.optionalText("webhooks.ca"))
        } catch let error as WebhookError {
            throw UsageError("\(error)")
        }
    }

    static func auditLog(_ settings: Settings, _ data: DataDirectory, _ logger: Logger) throws
        -> AuditLog?
    {
        let path = settings.optionalText("http.auditlog") ?? data.file("audit.log")
        do {
            return path == "none" ? nil : try AuditLog(path: path, logger: logger)
        } catch let error as AuditLogError {
            throw UsageError(
                "http.auditlog: \(error); keep it for whoever looks into it, and name another file")
        }
    }

    static func http(
        _ settings: Settings, _ services: ManagementServices, logger: Logger, display: ServingDisplay?
    ) throws -> some Service {
        let host = settings.text("http.host")
        let limits = ConnectionLimits(
            connections: settings.integer("http.connections"), fileHandles: FileHandles.raiseLimit())
        let tls = try tls(settings, logger: logger)
        return managementServer(
            services, host: host, port: settings.integer("http.port"), limits: limits, tls: tls,
            logger: logger
        ) { port in
            let address = "\(tls == nil ? "http" : "https")://\(host):\(port)"
            logger.notice("HTTP API", metadata: ["address": "\(address)"])
            display?.showAddress(address)
        }
    }

    static func tls(_ settings: Settings, logger: Logger) throws -> TLSFiles? {
        let clients = settings.optionalText("http.clientca")
        guard let certificate = settings.optionalText("http.certificate"),
            let key = settings.optionalText("http.certificatekey")
        else {
            for name in ["http.certificate", "http.certificatekey", "http.clientca"]
            where settings.optionalText(name) != nil {
                throw UsageError(
                    "\(name) is set alone: TLS takes http.certificate and http.certificatekey together")
            }
            return nil
        }
        do {
            return try TLSFiles(
                certificate: certificate, key: key, clientAuthorities: clients, logger: logger)
        } catch let error as TLSFilesError {
            throw UsageError("TLS of the HTTP API: \(error)")
        }
    }
}
