import Foundation
import ObjectStore

/// Promotions that somebody has asked for and somebody else has to confirm, one a tenant. They lie in the store, so that any
/// process can be asked. Thread-safe; calls block.
public struct PendingPromotions: Sendable {
    public struct Pending: Codable, Sendable, Hashable {
        public let version: Int
        public let by: String
        public let reason: String
        public let timeMilliseconds: Int64
    }

    public enum Answer: Sendable, Hashable {
        /// Somebody else must ask for the same.
        case waits(Pending)
        /// Somebody else had asked for the same.
        case confirmed(Pending)
    }

    /// How long a promotion waits.
    public static let keptMilliseconds: Int64 = 86_400_000
    private static let maximumSize = 16_384
    private static let attempts = 100

    private let objects: any ObjectStore

    public init(objects: any ObjectStore) { self.objects = objects }

    private func key(_ tenant: Tenant) -> String {
        "models/pending/" + tenant.objectPrefix.dropFirst("models/".count) + ".json"
    }

    public func pending(_ tenant: Tenant, now: Int64) throws -> Pending? {
        try read(tenant, now: now).pending
    }

    private func read(_ tenant: Tenant, now: Int64) throws -> (pending: Pending?, tag: VersionTag?) {
        guard let object = try objects.get(key(tenant), maximumSize: Self.maximumSize) else {
            return (nil, nil)
        }
        let pending = try? JSONDecoder().decode(Pending.self, from: Data(object.bytes))
        let isFresh = pending.map { now - $0.timeMilliseconds < Self.keptMilliseconds } ?? false
        return (isFresh ? pending : nil, object.tag)
    }

    /// Asks for a promotion, or confirms it. Another version than the one that waits takes its place.
    ///
    /// - Parameters:
    ///   - by: The name of the caller's key: who asks twice is one.
    ///   - now: Epoch milliseconds.
    public func ask(
        _ tenant: Tenant, version: Int, by: String, reason: String, now: Int64
    ) throws -> Answer {
        for _ in 0..<Self.attempts {
            let (known, tag) = try read(tenant, now: now)
            if let known, known.version == version {
                return known.by == by ? .waits(known) : .confirmed(known)
            }
            let asked = Pending(version: version, by: by, reason: reason, timeMilliseconds: now)
            let bytes = [UInt8](try JSONEncoder().encode(asked))
            if try objects.putIfUnchanged(key(tenant), bytes, tag.map { .unchanged($0) } ?? .absent) {
                return .waits(asked)
            }
        }
        throw CatalogueError.contended(key: key(tenant), attempts: Self.attempts)
    }

    public func remove(_ tenant: Tenant) throws { try objects.delete(key(tenant)) }
}
