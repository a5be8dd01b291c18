import Foundation

/// What a configuration sends over a network in the clear, for whoever reads the log at start.
enum Plaintext {
    /// One for each place, with what to do; none for what stays on this machine.
    static func warnings(_ settings: Settings) throws -> [String] {
        var warnings: [String] = []
        let host = settings.text("http.host")
        if settings.optionalText("http.certificate") == nil, !isLoopback(host) {
            warnings.append(
                "the HTTP API at \(host) is not encrypted: set http.certificate and http.certificatekey, "
                    + "or put a proxy that speaks TLS before it")
        }
        if let redis = settings.optionalText("redis.url").flatMap({ URLComponents(string: $0) }),
            redis.scheme?.lowercased() == "redis", let host = redis.host, !isLoopback(host)
        {
            warnings.append(
                "Redis at \(host) is not encrypted: write rediss:// in redis.url, where the server speaks TLS"
            )
        }
        for (key, what) in [
            ("s3.endpoint", "the object store"), ("webhooks.url", "the webhook"),
            ("telemetry.otlp", "the collector of spans"), ("registry.url", "the schema registry"),
        ] {
            if let url = settings.optionalText(key).flatMap({ URLComponents(string: $0) }),
                url.scheme?.lowercased() == "http", let host = url.host, !isLoopback(host)
            {
                warnings.append("\(what) at \(host) is not encrypted: write https:// in \(key)")
            }
        }
        if let brokers = settings.optionalText("stream.brokers") {
            let properties = try settings.properties("stream.properties")
            let isEncrypted = properties["security.protocol"]?.lowercased().hasSuffix("ssl") ?? false
            let far = brokers.split(separator: ",").map { Self.host(of: $0) }.first { !isLoopback($0) }
            if !isEncrypted, let far {
                warnings.append(
                    "Kafka at \(far) is not encrypted: set security.protocol to ssl or sasl_ssl in stream.properties"
                )
            }
        }
        return warnings
    }

    /// Of `host`, `host:port`, `PLAINTEXT://host:port` or `[::1]:port`.
    static func host(of broker: Substring) -> String {
        let text = broker.trimmingCharacters(in: .whitespaces)
        let place = text.range(of: "://").map { text[$0.upperBound...] } ?? text[...]
        if place.hasPrefix("[") { return String(place.dropFirst().prefix { $0 != "]" }) }
        // An address of version 6 without brackets has no port.
        if place.count(where: { $0 == ":" }) > 1 { return String(place) }
        return String(place.prefix { $0 != ":" })
    }

    /// Whether a name is this machine, and no network lies between.
    static func isLoopback(_ host: String) -> Bool {
        let host = host.lowercased().trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        if host == "localhost" || host.hasSuffix(".localhost") || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
