/// Where users' windows are kept between batches.
///
/// Beside the windows it keeps a record for each partition of the stream, which says how far the windows reach and what
/// time the partition has come to. Used by one thread at a time; every call blocks until the store has answered.
public protocol WindowStore: AnyObject, Sendable {
    /// For people: `memory`, `redis://host:6379/0`.
    var location: String { get }

    /// Reads the records of some partitions and the blobs of some users in one round trip.
    ///
    /// - Parameters:
    ///   - partition: Called once for each partition, in order, before any user, with the record's bytes, valid during
    ///     the call, or nil.
    ///   - user: Called once for each user, in order.
    func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws

    /// Reads what an older version kept for some of the users under names that told services apart by nothing but their
    /// prefix. Called for users whom `read` did not find, and only where such names may exist.
    ///
    /// - Parameter body: Called for each of `indices`, in order.
    func readUnnamed(
        _ users: UserKeys, indices: [Int], _ body: (Int, UnsafeRawBufferPointer?) throws -> Void
    ) throws

    /// Writes all blobs and records, or none, and moves aside what was found damaged.
    ///
    /// - Returns: false, and nothing was written, when a stored one is no longer the one that was read.
    func write(_ writes: WindowWrites) throws -> Bool

    /// Under which name a user's damaged window is kept, for people.
    func damagedKey(of userID: String) -> String

    /// Removes a user's window, and what was kept of a damaged one.
    ///
    /// - Returns: How many stored items that were: 0 when there was none.
    @discardableResult
    func remove(userID: String) throws -> Int

    /// The partitions that the store has records of, ascending.
    func partitions() throws -> [Int32]

    /// What the store says of itself. One round trip.
    func condition() throws -> WindowStoreCondition
}

extension WindowStore {
    public func readUnnamed(
        _ users: UserKeys, indices: [Int], _ body: (Int, UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        for index in indices { try body(index, nil) }
    }
}

/// What a store holds for a user.
public enum StoredWindow {
    case none
    /// The blob's bytes, valid during the call.
    case blob(UnsafeRawBufferPointer)
    /// The user's key holds something that is no blob at all, such as a list.
    case foreign
}

/// How a store is, as far as windows can be lost by it.
public struct WindowStoreCondition: Sendable, Hashable {
    /// Another number after a restart or a failover of the store.
    public let identity: UInt32
    /// Items that it has thrown away for want of memory since it started.
    public let evictions: Int
    /// How it throws items away when its memory is full; nil: it does not.
    public let evictionPolicy: String?

    public init(identity: UInt32, evictions: Int = 0, evictionPolicy: String? = nil) {
        self.identity = identity
        self.evictions = evictions
        self.evictionPolicy = evictionPolicy
    }
}

/// The ids of a batch's users, each once, in one stretch of bytes.
public struct UserKeys: Sendable {
    public private(set) var bytes: [UInt8] = []
    public private(set) var ends: [Int] = []

    public init() {}

    public var count: Int { ends.count }

    public mutating func append(_ user: UnsafeBufferPointer<UInt8>) {
        bytes.append(contentsOf: user)
        ends.append(bytes.count)
    }

    public mutating func append(_ user: String) {
        bytes.append(contentsOf: user.utf8)
        ends.append(bytes.count)
    }

    /// Where user `index` lies in `bytes`.
    public func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

    public func text(_ index: Int) -> String { String(decoding: bytes[range(index)], as: UTF8.self) }
}

/// New blobs for a batch's users and new records for its partitions, each to be written only if the stored one is still
/// the one that was read.
public struct WindowWrites: Sendable {
    public struct Partition: Sendable, Hashable {
        public let partition: Int32
        public let expected: WindowExpectation
        public let bytes: [UInt8]
    }

    public let users: UserKeys
    /// One for each user.
    public let expected: [WindowExpectation]
    /// The new blobs, one after the other.
    public let bytes: [UInt8]
    public let ends: [Int]
    /// Users whose stored bytes are kept under another name, because they are damaged.
    public let damaged: [Int]
    public let partitions: [Partition]

    public init(
        users: UserKeys, expected: [WindowExpectation], bytes: [UInt8], ends: [Int], damaged: [Int] = [],
        partitions: [Partition] = []
    ) {
        self.users = users
        self.expected = expected
        self.bytes = bytes
        self.ends = ends
        self.damaged = damaged
        self.partitions = partitions
    }

    public func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }
}

/// What a store must still hold for a write to be made.
public enum WindowExpectation: Sendable, Hashable {
    case nothing
    /// Bytes that carry this token.
    case token(WindowToken)
    /// Damaged bytes: what stands, wholly or in part, where a token would.
    case damaged([UInt8])
    /// Something that is no blob.
    case foreign

    /// What is expected where bytes were read.
    init(of bytes: UnsafeRawBufferPointer) {
        let range = WindowToken.range
        guard bytes.count >= range.upperBound else {
            self = .damaged(Array(bytes.dropFirst(range.lowerBound)))
            return
        }
        self = .token(
            WindowToken(
                writer: loadWord(bytes, range.lowerBound), sequence: loadWord(bytes, range.lowerBound + 8)))
    }
}
