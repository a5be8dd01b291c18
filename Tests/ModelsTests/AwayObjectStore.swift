import ObjectStore

/// A store that does not answer.
struct AwayObjectStore: ObjectStore {
    let location = "away"
    private let away = ObjectStoreError.unavailable(location: "away", reason: "nobody listens")

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? { throw away }
    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] { throw away }
    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? { throw away }
    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        throw away
    }
    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        throw away
    }
    func delete(_ key: String) throws(ObjectStoreError) { throw away }
}
