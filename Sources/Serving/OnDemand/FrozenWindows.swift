/// What a window store held for some users at one moment, to be read once more by a `WindowStage` and written by nobody.
final class FrozenWindows: WindowStore {
    enum Item: Sendable {
        case none
        case foreign
        case blob([UInt8])
    }

    let location: String
    private let store: any WindowStore
    /// One for each user, in the order in which they are read again.
    private let items: [Item]
    private let records: [Int32: [UInt8]]

    init(_ store: any WindowStore, items: [Item], records: [Int32: [UInt8]]) {
        self.store = store
        location = store.location
        self.items = items
        self.records = records
    }

    func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws {
        for (index, number) in partitions.enumerated() {
            if let record = records[number] {
                try record.withUnsafeBytes { try partition(index, $0) }
            } else {
                try partition(index, nil)
            }
        }
        for (slot, item) in items.enumerated() {
            switch item {
            case .none: try user(slot, .none)
            case .foreign: try user(slot, .foreign)
            case .blob(let bytes): try bytes.withUnsafeBytes { try user(slot, .blob($0)) }
            }
        }
    }

    func readUnnamed(
        _ users: UserKeys, indices: [Int], _ body: (Int, UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        try store.readUnnamed(users, indices: indices, body)
    }

    /// Nothing is ever written.
    func write(_ writes: WindowWrites) throws -> Bool { false }

    func damagedKey(of userID: String) -> String { store.damagedKey(of: userID) }

    func remove(userID: String) throws -> Int { 0 }

    func partitions() throws -> [Int32] { records.keys.sorted() }

    /// It has not been restarted, and forgets nothing.
    func condition() throws -> WindowStoreCondition { WindowStoreCondition(identity: 0) }
}
