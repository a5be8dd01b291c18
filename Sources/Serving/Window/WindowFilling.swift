import Features
import Transactions

/// Puts windows that were made from history into a store, while others serve.
///
/// A user without a window gets the one from history. A window that something is missing from is merged with it where the
/// two do not overlap: what history has ends before the day on which the stored window begins. No other is touched.
public struct WindowFilling {
    public struct Outcome: Sendable, Hashable {
        /// Users who had no window.
        public var filled = 0
        /// Users whose window lacked what came before it.
        public var merged = 0
        /// Users whose window is whole, as far as is known.
        public var kept = 0
        /// Users whose window lacks something that history cannot give without counting twice.
        public var overlapping = 0
    }

    private let store: any WindowStore
    private var users = UserKeys()
    private var windows: [UserWindow] = []
    public private(set) var outcome = Outcome()

    public init(_ store: any WindowStore) { self.store = store }

    /// - Parameter window: All that history has of the user.
    public mutating func put(_ window: UserWindow, of userID: String) throws {
        users.append(userID)
        windows.append(window)
        if windows.count == 500 { try finish() }
    }

    /// Writes what is left. Called once, after the last user.
    public mutating func finish() throws {
        defer { (users, windows) = (UserKeys(), []) }
        var left = Array(windows.indices)
        // A user who is served in between is looked at again.
        for _ in 0..<10 where !left.isEmpty { left = try write(left) }
        outcome.overlapping += left.count
    }

    /// - Returns: Those that were changed by somebody else meanwhile.
    private mutating func write(_ indices: [Int]) throws -> [Int] {
        var part = UserKeys()
        for index in indices { part.append(users.text(index)) }
        var stored: [[UInt8]?] = []
        try store.read(part, partitions: []) { _, _ in
        } user: { _, found in
            if case .blob(let bytes) = found { stored.append(Array(bytes)) } else { stored.append(nil) }
        }
        var left: [Int] = []
        for (place, index) in indices.enumerated() {
            let owner = TextHash.hash(part.text(place))
            let token = WindowToken(writer: .random(in: 0...UInt64.max), sequence: 0)
            var bytes = WindowBlob.encoded(windows[index], token: token, owner: owner)
            var expected = WindowExpectation.nothing
            if let old = stored[place] {
                expected = old.withUnsafeBytes { WindowExpectation(of: $0) }
                guard let merged = merged(old, windows[index], owner) else { continue }
                bytes = merged
            }
            var key = UserKeys()
            key.append(part.text(place))
            let writes = WindowWrites(users: key, expected: [expected], bytes: bytes, ends: [bytes.count])
            guard try store.write(writes) else {
                left.append(index)
                continue
            }
            if stored[place] == nil { outcome.filled += 1 } else { outcome.merged += 1 }
        }
        return left
    }

    /// A stored blob with what history has before it; nil: it stays as it is.
    private mutating func merged(_ stored: [UInt8], _ window: UserWindow, _ owner: UInt64) -> [UInt8]? {
        stored.withUnsafeBytes { bytes in
            guard let blob = try? WindowBlob(bytes, owner: owner), !blob.missing.marks.isEmpty,
                var base = try? blob.window(foldingBelow: .min)
            else {
                outcome.kept += 1
                return nil
            }
            let pendingStart = blob.earliestPendingMilliseconds ?? .max
            let start = min(base.earliestDayMilliseconds ?? .max, pendingStart)
            guard let last = window.lastEventMilliseconds, last < start else {
                outcome.overlapping += 1
                return nil
            }
            base.merge(window)
            return blob.replacingBase(with: base, missing: .none, owner: owner)
        }
    }
}
