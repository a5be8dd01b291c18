/// A flat store of immutable-ish byte objects under keys like `models/global/v2.model`.
///
/// Keys are non-empty paths of percent-encoded segments separated by `/`, without `.` and `..` segments.
/// Every call **blocks** its thread until the store has answered: call it from a thread of your own, never from
/// Swift's cooperative pool. Safe to call from several threads at once.
public protocol ObjectStore: Sendable {
    /// Where the store is, for people: `/data/lake`, `s3://bucket/prefix`.
    var location: String { get }

    /// The whole object, or nil when there is none. At most `ObjectLimits.wholeObject` bytes.
    func get(_ key: String) throws(ObjectStoreError) -> StoredObject?

    /// The whole object, or nil when there is none.
    ///
    /// - Throws: `.tooLarge` for one of more than `maximumSize` bytes, before these have been read.
    func get(_ key: String, maximumSize: Int) throws(ObjectStoreError) -> StoredObject?

    /// Bytes of a part of the object. A range that passes the end is an error.
    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8]

    /// Size and version tag, or nil when there is no such object.
    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary?

    /// Writes an object whole: readers see the old bytes or the new ones, never a mixture.
    ///
    /// - Returns: The new version tag.
    /// - Throws: `.preconditionFailed` when `condition` does not hold; nothing was written then. `.unavailable` leaves
    ///   open whether the object was written.
    @discardableResult
    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag

    /// Objects whose key starts with `prefix`, ascending by the bytes of their keys, at most `limit`, after key `after`.
    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary]

    /// Every object whose key starts with `prefix`, ascending by key.
    func listAll(prefix: String) throws(ObjectStoreError) -> [ObjectSummary]

    /// Removes an object; removing one that is not there is no error.
    func delete(_ key: String) throws(ObjectStoreError)
}

/// What must hold for a write to happen.
public enum PutCondition: Sendable, Hashable {
    case always
    /// No object has this key: `If-None-Match: *`.
    case absent
    /// The object still is the one with this tag: `If-Match`.
    case unchanged(VersionTag)
}

/// Names the content of one object at one time; S3's ETag.
public struct VersionTag: Sendable, Hashable {
    public let text: String
    public init(_ text: String) { self.text = text }
}

public struct ObjectSummary: Sendable, Hashable {
    public let key: String
    public let sizeBytes: Int
    public let tag: VersionTag

    public init(key: String, sizeBytes: Int, tag: VersionTag) {
        self.key = key
        self.sizeBytes = sizeBytes
        self.tag = tag
    }
}

public struct StoredObject: Sendable {
    public let bytes: [UInt8]
    public let tag: VersionTag

    public init(bytes: [UInt8], tag: VersionTag) {
        self.bytes = bytes
        self.tag = tag
    }
}

/// Every read has a bound: what lies in a store may have been put there by somebody else.
public enum ObjectLimits {
    /// Of a read that names none.
    public static let wholeObject = 256 << 20
}

extension ObjectStore {
    public func get(_ key: String) throws(ObjectStoreError) -> StoredObject? {
        try get(key, maximumSize: ObjectLimits.wholeObject)
    }

    public func get(_ key: String, maximumSize: Int) throws(ObjectStoreError) -> StoredObject? {
        guard let summary = try head(key) else { return nil }
        guard summary.sizeBytes <= maximumSize else {
            throw .tooLarge(key: key, sizeBytes: summary.sizeBytes, maximumSize: maximumSize)
        }
        return try get(key)
    }

    public func listAll(prefix: String) throws(ObjectStoreError) -> [ObjectSummary] {
        let pageSize = 1000
        var found: [ObjectSummary] = []
        while true {
            let page = try list(prefix: prefix, after: found.last?.key, limit: pageSize)
            found += page
            if page.count < pageSize { return found }
        }
    }
}
