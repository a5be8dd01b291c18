import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import Synchronization

/// The keys that calls may come with. Only their SHA-256 is kept. Thread-safe.
public final class KeyRing: Sendable {
    struct Entry: Sendable {
        let digest: [UInt8]
        let identity: Identity
        let expires: Date?
    }

    private struct State {
        var file: [Entry] = []
        var fileStamp: Date?
        var looked: ContinuousClock.Instant?
        var failures = FailedAttempts()
    }

    /// Without a key: nothing that changes anything is allowed.
    private let admin: Entry?
    private let path: String?
    private let isReadingOpen: Bool
    private let openNames: (@Sendable (String) -> Bool)?
    private let logger: Logger
    private let now: @Sendable () -> Date
    private let state = Mutex(State())
    private let refused = Counter(label: "ml_http_keys_refused_total")

    /// - Parameters:
    ///   - adminKey: Allows everything; nil or empty: there is none.
    ///   - file: Further keys, see `KeyFile`; read again when it changes.
    ///   - isReadingOpen: What has the scope `read` needs no key.
    ///   - openNames: By which names (`Host`) it needs none: a page of somebody else's in a browser on this machine can have
    ///     its own name lead here, and a proxy brings the names that strangers use. nil: by any.
    /// - Throws: `KeyFileError`.
    public init(
        adminKey: String?, file: String? = nil, isReadingOpen: Bool,
        openNames: (@Sendable (String) -> Bool)? = nil, logger: Logger,
        now: @escaping @Sendable () -> Date = { Date() }
    ) throws {
        admin = adminKey.flatMap { key in
            key.isEmpty
                ? nil
                : Entry(
                    digest: Self.digest(key),
                    identity: Identity(name: "admin", scopes: [.admin], tenantPrefix: nil), expires: nil)
        }
        path = file
        self.isReadingOpen = isReadingOpen
        self.openNames = openNames
        self.logger = logger
        self.now = now
        if let file {
            let (entries, stamp) = try KeyFile.read(file)
            state.withLock { state in
                state.file = entries
                state.fileStamp = stamp
            }
        }
    }

    static func digest(_ key: String) -> [UInt8] { Array(SHA256.hash(data: Array(key.utf8))) }

    /// Whose key a request came with.
    ///
    /// - Parameters:
    ///   - scope: What the key must allow; nil: no key is asked for.
    ///   - address: The client's; whoever tries many wrong keys has to wait.
    /// - Returns: nil: none is needed.
    /// - Throws: `Problem` 401, 403 or 429.
    func identity(of request: Request, for scope: Scope?, from address: String?) throws -> Identity? {
        guard let scope else { return nil }
        guard let sent = Self.key(of: request) else {
            let name = request.head.authority ?? ""
            let isOpenByName = name.isEmpty || openNames?(name) ?? true
            if scope == .read, isReadingOpen, isOpenByName { return nil }
            guard admin != nil || !entries().isEmpty else {
                throw Problem(
                    .forbidden, "no-admin-key",
                    "changing calls are off: start the service with an admin key (ML_SERVICE_ADMIN_KEY)")
            }
            let why =
                scope == .read && isReadingOpen
                ? "; looking needs none by a name of this machine, localhost say, or with http.publicread"
                : ""
            throw Problem(
                .unauthorized, "unauthorized",
                "send a key as 'Authorization: Bearer KEY' or 'X-Admin-Key: KEY'\(why)")
        }
        let address = address ?? "unknown"
        let wait = state.withLock { $0.failures.secondsToWait(address, now()) }
        if let wait {
            throw Problem.later(
                "too-many-wrong-keys", "too many wrong keys came from \(address)", seconds: wait,
                status: .tooManyRequests)
        }
        guard let entry = find(Self.digest(sent)) else {
            refused.increment()
            let count = state.withLock { $0.failures.add(address, now()) }
            logger.warning(
                "a wrong key was sent", metadata: ["address": "\(address)", "attempts": "\(count)"])
            throw Problem(.unauthorized, "unauthorized", "this is no key of this service")
        }
        if let expires = entry.expires, expires <= now() {
            throw Problem(.unauthorized, "key-expired", "the key of \(entry.identity.name) has expired")
        }
        guard entry.identity.allows(scope) else {
            throw Problem(
                .forbidden, "scope-missing",
                "the key of \(entry.identity.name) does not have the scope '\(scope.rawValue)'")
        }
        return entry.identity
    }

    /// Goes through all, so that the time says nothing of which one it was.
    private func find(_ digest: [UInt8]) -> Entry? {
        var found: Entry?
        for entry in entries() + (admin.map { [$0] } ?? []) {
            var difference: UInt8 = 0
            for (one, other) in zip(entry.digest, digest) { difference |= one ^ other }
            if difference == 0 { found = entry }
        }
        return found
    }

    /// Of the file, as it is now; looked at once a second.
    private func entries() -> [Entry] {
        guard let path else { return [] }
        return state.withLock { state in
            if let looked = state.looked, ContinuousClock.now - looked < .seconds(1) { return state.file }
            state.looked = .now
            guard KeyFile.stamp(path) != state.fileStamp else { return state.file }
            do {
                (state.file, state.fileStamp) = try KeyFile.read(path)
                logger.notice("keys were read again", metadata: ["keys": "\(state.file.count)"])
            } catch {
                logger.error(
                    "the keys stay as they were", metadata: ["path": "\(path)", "reason": "\(error)"])
            }
            return state.file
        }
    }

    static func hasKey(_ request: Request) -> Bool { key(of: request) != nil }

    /// Why a key that somebody thought of is too weak beyond this machine; nil: it is not. Made ones have 256 random bits.
    public static func weakness(of key: String) -> String? {
        if key.utf8.count < 16 { return "it has fewer than 16 bytes" }
        if Set(key.utf8).count < 8 { return "it has fewer than 8 different characters" }
        return nil
    }

    private static func key(of request: Request) -> String? {
        if let key = HTTPField.Name("X-Admin-Key").flatMap({ request.headers[$0] }) { return key }
        guard let authorization = request.headers[.authorization] else { return nil }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
    }
}

/// Wrong keys by address, so that guessing is slow. Bounded.
struct FailedAttempts {
    static let allowed = 10
    static let seconds = 60.0
    private static let maximumAddresses = 1_000

    private var attempts: [String: (count: Int, since: Date)] = [:]

    /// nil: go on.
    func secondsToWait(_ address: String, _ now: Date) -> Int? {
        guard let entry = attempts[address], entry.count >= Self.allowed else { return nil }
        let rest = Self.seconds - now.timeIntervalSince(entry.since)
        return rest > 0 ? max(1, Int(min(rest, Self.seconds).rounded(.up))) : nil
    }

    /// - Returns: How many within the minute.
    mutating func add(_ address: String, _ now: Date) -> Int {
        attempts = attempts.filter { now.timeIntervalSince($0.value.since) < Self.seconds }
        if attempts[address] == nil, attempts.count >= Self.maximumAddresses { return 0 }
        attempts[address, default: (0, now)].count += 1
        return attempts[address]?.count ?? 0
    }
}
