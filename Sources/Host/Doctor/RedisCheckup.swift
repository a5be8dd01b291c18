import Foundation
import Redis

/// Tries Redis: reachable, writable, what it does when its memory is full, what a restart loses, its clock.
struct RedisCheckup {
    let address: RedisAddress
    let prefix: String

    func findings() -> [Finding] {
        let connection = RedisConnection(address: address)
        defer { connection.close() }
        let reached = checked(
            "writes", advice: "check redis.url, and that its user may use keys under \(prefix)"
        ) {
            let key = "\(prefix)doctor:\(UUID().uuidString)"
            try connection.command(["SET", .text(key), "1", "PX", "10000"])
            let found = try connection.command(["GET", .text(key)])
            try connection.command(["DEL", .text(key)])
            guard found.text == "1" else {
                return Finding(
                    "redis", "writes", .bad, "a key that was just written is not there",
                    advice: "name the primary in redis.url, not a replica")
            }
            return Finding("redis", "writes", .good, "written, read and removed")
        }
        guard reached.state == .good else { return [reached] }
        return [
            reached,
            checked("eviction", advice: Self.configAdvice) {
                let policy = try setting("maxmemory-policy", connection)
                return Finding(
                    "redis", "eviction", policy == "noeviction" ? .good : .warning,
                    "maxmemory-policy \(policy)",
                    advice: policy == "noeviction"
                        ? "" : "set maxmemory-policy noeviction: an evicted window is history that is gone")
            },
            checked("persistence", advice: Self.configAdvice) {
                let (appends, saves) = (
                    try setting("appendonly", connection), try setting("save", connection)
                )
                let isKept = appends == "yes"
                return Finding(
                    "redis", "persistence", isKept ? .good : .warning,
                    "appendonly \(appends), save \(saves.isEmpty ? "never" : saves)",
                    advice: isKept
                        ? "" : "set appendonly yes: a restart loses the windows since the last save")
            },
            checked("clock", advice: Self.configAdvice) {
                let time = try connection.command(["TIME"]).array?.first?.text.flatMap { Double($0) } ?? 0
                let skew = Int(abs(Date().timeIntervalSince1970 - time))
                return Finding(
                    "redis", "clock", skew <= 5 ? .good : .warning, "\(skew) s from this machine's",
                    advice: skew <= 5 ? "" : "synchronise the clocks (chrony, systemd-timesyncd)")
            },
        ]
    }

    private static let configAdvice = "the server does not let this user ask (CONFIG, TIME): check it by hand"

    private func checked(_ check: String, advice: String, _ body: () throws -> Finding) -> Finding {
        Finding.of(
            "redis", check, advice: advice, isRetryable: { ($0 as? RedisError)?.isRetryable ?? false }, body)
    }

    private func setting(_ name: String, _ connection: RedisConnection) throws -> String {
        try connection.command(["CONFIG", "GET", .text(name)]).array?.last?.text ?? ""
    }
}
