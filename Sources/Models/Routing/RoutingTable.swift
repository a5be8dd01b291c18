import Transactions

/// Which version is active for whom, as of one moment. Immutable; a batch is routed by one table.
public final class RoutingTable: Sendable {
    public let global: Int?
    /// By `TextHash` of the user's id. Two users with one hash are told apart by the model's own tenant.
    let users: [UInt64: Int32]

    public var userCount: Int { users.count }

    init(global: Int? = nil, users: [UInt64: Int32] = [:]) {
        self.global = global
        self.users = users
    }

    convenience init(_ active: [Tenant: Int]) {
        var users: [UInt64: Int32] = [:]
        users.reserveCapacity(active.count)
        for case (.user(let id), let version) in active { users[Self.hash(id)] = Int32(clamping: version) }
        self.init(global: active[.global], users: users)
    }

    public func version(of tenant: Tenant) -> Int? {
        guard let id = tenant.userID else { return global }
        return users[Self.hash(id)].map(Int.init)
    }

    func applying(_ changes: [ModelChange]) -> RoutingTable {
        var global = global
        var users = users
        for change in changes {
            if let id = change.userID {
                users[Self.hash(id)] = change.to.map { Int32(clamping: $0) }
            } else {
                global = change.to
            }
        }
        return RoutingTable(global: global, users: users)
    }

    static func hash(_ userID: String) -> UInt64 {
        var userID = userID
        return userID.withUTF8 { TextHash.hash(UnsafeRawBufferPointer($0)) }
    }
}

/// Why a user's own model did not serve.
public enum FallbackReason: String, Sendable, Hashable, CaseIterable {
    case noUserModel = "no-user-model"
    case loadFailed = "load-failed"
    case quarantined
}

public enum Route: Sendable {
    case user(ReadyModel)
    case global(ReadyModel, fallback: FallbackReason)
    /// There is no global model.
    case none
}
