/// Where users' windows are kept between batches.
///
/// Used by one thread at a time; every call blocks until the store has answered.
public protocol WindowStore: AnyObject, Sendable {
    /// For people: `memory`, `redis://host:6379/0`.
    var location: String { get }

    /// Reads the blobs of some users in one round trip.
    ///
    /// - Parameter body: Called once for each user, in order, with the bytes, valid during the call, or nil.
    func read(_ users: UserKeys, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void) throws

    /// Writes all blobs, or none.
    ///
    /// - Returns: false, and nothing was written, when a stored blob no longer carries the expected token.
    func write(_ writes: WindowWrites) throws -> Bool

    /// Removes a user's window.
    func remove(userID: String) throws
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

    /// Where user `index` lies in `bytes`.
    public func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

    public func text(_ index: Int) -> String { String(decoding: bytes[range(index)], as: UTF8.self) }
}

/// New blobs for a batch's users, each to be written only if the stored one is still the one that was read.
public struct WindowWrites: Sendable {
    public let users: UserKeys
    /// One for each user: the token of the blob that was read, or nil when there was none.
    public let expected: [WindowToken?]
    /// The new blobs, one after the other.
    public let bytes: [UInt8]
    public let ends: [Int]

    public func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }
}
