import Transactions

/// The distinct users of a batch: rows to slots, by open addressing over the text's hash.
struct UserIndex {
    private(set) var keys = UserKeys()
    /// One for each user: the hash of the id.
    private(set) var hashes: [UInt64] = []
    /// One for each row: which user.
    private(set) var slots: [Int32] = []
    /// One for each user: the first row.
    private(set) var firstRows: [Int32] = []

    init(_ transactions: TransactionBatch) {
        let count = transactions.count
        slots.reserveCapacity(count)
        var capacity = 16
        while capacity < count * 2 { capacity *= 2 }
        var table = [Int32](repeating: -1, count: capacity)
        for row in 0..<count {
            let hash = transactions.hash(.userID, row)
            transactions.withText(.userID, row) { user in
                guard let user else { preconditionFailure("a parsed transaction has a user") }
                var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
                while true {
                    let slot = table[place]
                    if slot < 0 {
                        table[place] = Int32(keys.count)
                        slots.append(Int32(keys.count))
                        firstRows.append(Int32(row))
                        hashes.append(hash)
                        keys.append(user)
                        return
                    }
                    if hashes[Int(slot)] == hash, isSame(user, slot: Int(slot)) {
                        slots.append(slot)
                        return
                    }
                    place = (place + 1) & (capacity - 1)
                }
            }
        }
    }

    var count: Int { keys.count }

    private func isSame(_ user: UnsafeBufferPointer<UInt8>, slot: Int) -> Bool {
        let range = keys.range(slot)
        guard range.count == user.count else { return false }
        return keys.bytes.withUnsafeBufferPointer { bytes in
            zip(bytes[range], user).allSatisfy { $0 == $1 }
        }
    }
}
