import Foundation
import Logging
import ObjectStore
import Synchronization
import Transactions

@testable import Rules

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A folder of its own, removed with this object.
final class TemporaryFolder: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "rules-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var objects: DirectoryObjectStore { DirectoryObjectStore(root: path + "/store") }
}

/// A store that can be away.
final class FickleStore: ObjectStore {
    private let inner: any ObjectStore
    private let away = Mutex(false)

    init(_ inner: any ObjectStore) { self.inner = inner }

    var isAway: Bool {
        get { away.withLock { $0 } }
        set { away.withLock { $0 = newValue } }
    }

    var location: String { inner.location }

    private func check() throws(ObjectStoreError) {
        if isAway { throw .unavailable(location: "test", reason: "the test has taken it away") }
    }

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? {
        try check()
        return try inner.get(key)
    }

    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        try check()
        return try inner.get(key, range: range)
    }

    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? {
        try check()
        return try inner.head(key)
    }

    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        try check()
        return try inner.put(key, bytes, if: condition)
    }

    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        try check()
        return try inner.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ key: String) throws(ObjectStoreError) {
        try check()
        try inner.delete(key)
    }
}

let noon: Int64 = 1_770_120_000_000

func rule(_ json: String) throws -> Rule { try RuleParser(author: "ada", now: noon).rule(Array(json.utf8)) }

func rules(_ json: String) throws -> [Rule] {
    try RuleParser(author: "ada", now: noon).rules(Array(json.utf8))
}

func batch(_ rows: Transaction...) -> TransactionBatch {
    var batch = TransactionBatch()
    for row in rows { batch.append(row) }
    return batch
}

func transaction(
    user: String = "u", amount: Double = 10, time: Int64 = noon, merchant: String? = nil,
    category: String? = nil
) -> Transaction {
    Transaction(
        transactionID: "t", userID: user, amount: amount, timestampMilliseconds: time, merchantID: merchant,
        category: category)
}

extension RuleSet {
    /// The id of the rule that decides about a transaction.
    func decision(_ transaction: Transaction, isAnomaly: Bool = true) -> String? {
        deciding(0, of: batch(transaction), isAnomaly: isAnomaly).map { rules[$0].id }
    }
}
