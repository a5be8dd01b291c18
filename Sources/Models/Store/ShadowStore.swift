import Foundation
import ObjectStore
import Retrying

/// A candidate for the global model that scores beside it for a while, and who wanted that.
public struct ShadowPlan: Codable, Sendable, Hashable {
    public let version: Int
    public let by: String
    /// Milliseconds since 1970 UTC.
    public let startedMilliseconds: Int64
    public let endsMilliseconds: Int64
    /// It ends in a process that has scored so many with it.
    public let maximumTransactions: Int

    public init(
        version: Int, by: String, startedMilliseconds: Int64, endsMilliseconds: Int64,
        maximumTransactions: Int
    ) {
        self.version = version
        self.by = by
        self.startedMilliseconds = startedMilliseconds
        self.endsMilliseconds = endsMilliseconds
        self.maximumTransactions = maximumTransactions
    }
}

public enum ShadowError: Retryable, Sendable, Hashable, CustomStringConvertible {
    /// Another version scores beside the active one already.
    case taken(version: Int, untilMilliseconds: Int64)
    /// Somebody else changed the plan at the same moment.
    case contended
    /// What lies in the store is no plan.
    case damaged(key: String)

    public var isRetryable: Bool { self == .contended }

    public var description: String {
        switch self {
        case .taken(let version, _): "v\(version) is the shadow already; stop that first"
        case .contended: "somebody else changed the shadow at this moment; try again"
        case .damaged(let key): "\(key) is no plan of a shadow; starting or stopping one replaces it"
        }
    }
}

/// Which candidate scores beside the global model: one object, for all processes. Thread-safe; calls block.
public struct ShadowStore: Sendable {
    private static let key = "models/shadow.json"
    private static let maximumSize = 4_096

    private let objects: any ObjectStore

    public init(objects: any ObjectStore) { self.objects = objects }

    /// - Parameter now: Milliseconds since 1970 UTC.
    /// - Returns: nil: there is none, or its time is over.
    /// - Throws: `ShadowError.damaged`; `ObjectStoreError`.
    public func current(now: Int64) throws -> ShadowPlan? {
        guard let object = try objects.get(Self.key, maximumSize: Self.maximumSize) else { return nil }
        guard let plan = Self.decoded(object) else { throw ShadowError.damaged(key: Self.key) }
        return plan.endsMilliseconds > now ? plan : nil
    }

    /// - Returns: What stands: the plan, or the one of the same version that has not ended.
    /// - Throws: `ShadowError.taken`, `.contended`; `ObjectStoreError`.
    public func start(_ plan: ShadowPlan, now: Int64) throws -> ShadowPlan {
        let object = try objects.get(Self.key, maximumSize: Self.maximumSize)
        if let standing = object.flatMap(Self.decoded), standing.endsMilliseconds > now {
            guard standing.version == plan.version else {
                throw ShadowError.taken(
                    version: standing.version, untilMilliseconds: standing.endsMilliseconds)
            }
            return standing
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let condition = object.map { PutCondition.unchanged($0.tag) } ?? .absent
        guard try objects.putIfUnchanged(Self.key, [UInt8](try encoder.encode(plan)), condition) else {
            throw ShadowError.contended
        }
        return plan
    }

    /// - Returns: false when that version is not the shadow; nothing has changed then.
    public func stop(version: Int, now: Int64) throws -> Bool {
        guard let object = try objects.get(Self.key, maximumSize: Self.maximumSize) else { return false }
        let plan = Self.decoded(object)
        guard plan == nil || plan?.version == version else { return false }
        try objects.delete(Self.key)
        return plan.map { $0.endsMilliseconds > now } ?? false
    }

    private static func decoded(_ object: StoredObject) -> ShadowPlan? {
        try? JSONDecoder().decode(ShadowPlan.self, from: Data(object.bytes))
    }
}
