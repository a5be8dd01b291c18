import Transactions

/// Which version is active for whom, as of one moment. Immutable; a batch is routed by one table.
///
/// About 45 bytes a user with ids of 11 bytes. Ids are compared byte by byte, so that users whose ids have the same
/// hash have their own models all the same. A change copies one part in 1,024.
public final class RoutingTable: Sendable {
    /// The global model's version.
    public let global: Int?
    let globalSequence: Int
    /// By the upper bits of a user's hash.
    private let shards: [RoutingShard]

    static let shardBits = 10

    /// Users with a model of their own.
    public var userCount: Int { shards.reduce(0) { $0 + $1.count } }

    /// Roughly what it holds in memory.
    public var sizeBytes: Int { shards.reduce(0) { $0 + $1.sizeBytes } }

    convenience init() {
        self.init(global: nil, shards: Array(repeating: RoutingShard([]), count: 1 << Self.shardBits))
    }

    private init(global: ActiveModel?, shards: [RoutingShard]) {
        self.global = global?.version
        globalSequence = global?.sequence ?? 0
        self.shards = shards
    }

    public convenience init(_ active: [Tenant: ActiveModel]) {
        var builder = Builder()
        for (tenant, model) in active {
            var id = tenant.userID ?? ""
            id.withUTF8 { builder.insert(UnsafeRawBufferPointer($0), model) }
        }
        self.init(builder)
    }

    convenience init(_ builder: Builder) {
        self.init(global: builder.global, shards: builder.users.map { RoutingShard($0) })
    }

    /// A table in the making.
    struct Builder {
        fileprivate var global: ActiveModel?
        fileprivate var users: [[RoutedUser]] = Array(repeating: [], count: 1 << RoutingTable.shardBits)

        /// - Parameter user: The id in UTF-8, of a user who has not been inserted before; empty: the global model.
        mutating func insert(_ user: UnsafeRawBufferPointer, _ model: ActiveModel) {
            guard !user.isEmpty else {
                global = model
                return
            }
            let hash = TextHash.hash(user)
            users[RoutingTable.shard(of: hash)].append(
                RoutedUser(hash: hash, id: Array(user), model.version, sequence: model.sequence))
        }
    }

    private static func shard(of hash: UInt64) -> Int { Int(hash >> UInt64(64 - shardBits)) }

    // MARK: Look-ups

    /// The version that is active for a user; nil: no model of the user's own.
    ///
    /// - Parameters:
    ///   - user: The id in UTF-8.
    ///   - hash: `TextHash` of the id.
    public func version(of user: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int? {
        shards[Self.shard(of: hash)].find(hash, UnsafeRawBufferPointer(user))?.version
    }

    public func version(of tenant: Tenant) -> Int? {
        guard var id = tenant.userID else { return global }
        return id.withUTF8 { version(of: $0, hash: TextHash.hash(UnsafeRawBufferPointer($0))) }
    }

    /// Whether the table knows something as new about the tenant already.
    func isKnown(_ change: ModelChange) -> Bool {
        guard var id = change.userID else { return globalSequence >= change.sequence }
        return id.withUTF8 { id in
            let id = UnsafeRawBufferPointer(id)
            let hash = TextHash.hash(id)
            return (shards[Self.shard(of: hash)].find(hash, id)?.sequence ?? 0) >= change.sequence
        }
    }

    // MARK: Changes

    /// The version and the number of the change that made it active; nil: no model of the tenant's own.
    func entry(of tenant: Tenant) -> (version: Int, sequence: Int)? {
        guard var id = tenant.userID else { return global.map { ($0, globalSequence) } }
        return id.withUTF8 { id in
            let id = UnsafeRawBufferPointer(id)
            let hash = TextHash.hash(id)
            return shards[Self.shard(of: hash)].find(hash, id)
        }
    }

    /// - Parameters:
    ///   - changes: In their order; those that are known already change nothing.
    ///   - isDecided: The changes are what the catalogue says now, whatever the table knows: a tenant that was erased
    ///     begins anew with number 1.
    func applying(_ changes: [ModelChange], isDecided: Bool = false) -> RoutingTable {
        var global = global.map { ActiveModel(version: $0, sequence: globalSequence) }
        var latestGlobal = globalSequence
        var byShard: [Int: [RoutedUser]] = [:]
        for change in changes where isDecided || !isKnown(change) {
            if let id = change.userID {
                let user = RoutedUser(
                    hash: TextHash.hash(id), id: Array(id.utf8), change.to ?? RoutedUser.none,
                    sequence: change.sequence)
                byShard[Self.shard(of: user.hash), default: []].append(user)
            } else if isDecided || change.sequence > latestGlobal {
                latestGlobal = change.sequence
                global = change.to.map { ActiveModel(version: $0, sequence: change.sequence) }
            }
        }
        var shards = shards
        for (index, users) in byShard {
            shards[index] = shards[index].applying(users, isDecided: isDecided)
        }
        return RoutingTable(global: global, shards: shards)
    }
}

/// A user's row while a part of the table is made.
struct RoutedUser {
    /// In place of a version: the user has no model any more.
    static let none = 0

    let hash: UInt64
    let id: [UInt8]
    let version: Int32
    let sequence: Int32

    init(hash: UInt64, id: [UInt8], _ version: Int, sequence: Int) {
        self.hash = hash
        self.id = id
        self.version = Int32(clamping: version)
        self.sequence = Int32(clamping: sequence)
    }
}

/// A part of the table: rows one after the other, their ids in one stretch, and an index by open addressing.
final class RoutingShard: Sendable {
    private struct Row {
        let hash: UInt64
        let version: Int32
        let sequence: Int32
        /// Where the id ends; it starts where the one before ends.
        let idEnd: UInt32
    }

    private let rows: [Row]
    private let ids: [UInt8]
    /// Numbers of rows, from 1; 0 is free. A power of two, at least a quarter free.
    private let index: [UInt32]

    var count: Int { rows.count }
    var sizeBytes: Int {
        rows.capacity * MemoryLayout<Row>.stride + ids.capacity
            + index.capacity * MemoryLayout<UInt32>.stride
    }

    /// - Parameter users: Each once.
    convenience init(_ users: [RoutedUser]) {
        self.init(rows: [], ids: [], adding: users)
    }

    /// - Parameter users: Each once, and none of those whose rows there are.
    private init(rows: [Row], ids: [UInt8], adding users: [RoutedUser]) {
        var (rows, ids) = (rows, ids)
        rows.reserveCapacity(rows.count + users.count)
        ids.reserveCapacity(ids.count + users.reduce(0) { $0 + $1.id.count })
        for user in users {
            ids += user.id
            rows.append(
                Row(
                    hash: user.hash, version: user.version, sequence: user.sequence,
                    idEnd: UInt32(truncatingIfNeeded: ids.count)))
        }
        var size = 2
        while size * 3 < rows.count * 4 { size *= 2 }
        var index = [UInt32](repeating: 0, count: size)
        for (number, row) in rows.enumerated() {
            var slot = Self.slot(of: row.hash, size)
            while index[slot] != 0 { slot = (slot + 1) & (size - 1) }
            index[slot] = UInt32(truncatingIfNeeded: number + 1)
        }
        (self.rows, self.ids, self.index) = (rows, ids, index)
    }

    /// The lower bits: the upper ones chose the part.
    private static func slot(of hash: UInt64, _ size: Int) -> Int {
        Int(truncatingIfNeeded: hash) & (size - 1)
    }

    func find(_ hash: UInt64, _ id: UnsafeRawBufferPointer) -> (version: Int, sequence: Int)? {
        var slot = Self.slot(of: hash, index.count)
        while index[slot] != 0 {
            let number = Int(index[slot]) - 1
            let row = rows[number]
            if row.hash == hash, isID(id, of: number) { return (Int(row.version), Int(row.sequence)) }
            slot = (slot + 1) & (index.count - 1)
        }
        return nil
    }

    private func idRange(_ number: Int) -> Range<Int> {
        (number == 0 ? 0 : Int(rows[number - 1].idEnd))..<Int(rows[number].idEnd)
    }

    private func isID(_ id: UnsafeRawBufferPointer, of number: Int) -> Bool {
        let range = idRange(number)
        guard range.count == id.count else { return false }
        return ids.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range]).elementsEqual(id) }
    }

    /// - Parameter changed: Of several of one user the latest counts; of decided ones there is one.
    func applying(_ changed: [RoutedUser], isDecided: Bool = false) -> RoutingShard {
        var latest: [[UInt8]: RoutedUser] = [:]
        for user in changed where isDecided || user.sequence > latest[user.id]?.sequence ?? 0 {
            latest[user.id] = user
        }
        // The rows of others are copied as they are: a change of a few among many is made while others score.
        let hashes = Set(latest.values.map(\.hash))
        var (kept, keptIDs): ([Row], [UInt8]) = ([], [])
        kept.reserveCapacity(rows.count + latest.count)
        keptIDs.reserveCapacity(ids.count)
        for (number, row) in rows.enumerated() {
            let range = idRange(number)
            if hashes.contains(row.hash), latest[Array(ids[range])] != nil { continue }
            keptIDs += ids[range]
            kept.append(
                Row(
                    hash: row.hash, version: row.version, sequence: row.sequence,
                    idEnd: UInt32(truncatingIfNeeded: keptIDs.count)))
        }
        return RoutingShard(
            rows: kept, ids: keptIDs, adding: latest.values.filter { Int($0.version) != RoutedUser.none })
    }
}
