import Foundation
import ObjectStore
import Synchronization

/// Notes in the object store that a user was erased, for processes that keep windows in memory of their own. Each is kept
/// for a day. Thread-safe; calls block.
public struct ErasureNotices: Sendable {
    public struct Notice: Sendable, Hashable {
        public let key: String
        public let userID: String
    }

    private struct Body: Codable {
        let userID: String
    }

    /// How long a process may be away and still hear of it.
    public static let keptMilliseconds: Int64 = 86_400_000
    private static let prefix = "models/erasures/"
    private static let maximumSize = 4_096

    private let objects: any ObjectStore

    public init(objects: any ObjectStore) { self.objects = objects }

    /// - Parameter now: Epoch milliseconds.
    public func post(userID: String, now: Int64) throws {
        let name = "\(Self.timeText(now))-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        let body = try JSONEncoder().encode(Body(userID: userID))
        try objects.put("\(Self.prefix)\(name).json", [UInt8](body), if: .absent)
    }

    /// Those that are not known yet; removes those that are older than a day.
    public func read(except known: Set<String>, now: Int64) throws -> [Notice] {
        let oldest = Self.prefix + Self.timeText(max(0, now - Self.keptMilliseconds))
        var notices: [Notice] = []
        for summary in try objects.listAll(prefix: Self.prefix) {
            if summary.key < oldest {
                try objects.delete(summary.key)
            } else if !known.contains(summary.key),
                let object = try objects.get(summary.key, maximumSize: Self.maximumSize),
                let body = try? JSONDecoder().decode(Body.self, from: Data(object.bytes))
            {
                notices.append(Notice(key: summary.key, userID: body.userID))
            }
        }
        return notices
    }

    /// Of all that there are.
    func keys() throws -> Set<String> { Set(try objects.listAll(prefix: Self.prefix).map(\.key)) }

    /// So many digits that times are in the order of their texts.
    private static func timeText(_ milliseconds: Int64) -> String {
        let digits = String(milliseconds)
        return String(repeating: "0", count: max(0, 15 - digits.utf8.count)) + digits
    }
}

/// Who has been erased since somebody began to read transactions: nothing may be made of these any more. Thread-safe;
/// calls block.
public final class ErasedMeanwhile: Sendable {
    private struct State {
        var known: Set<String>
        var users: Set<Tenant> = []
    }

    private let notices: ErasureNotices
    private let state: Mutex<State>

    /// - Parameter isResumed: Whether this goes on with something that was begun before: then all whose notices are still
    ///   there are among them.
    public init(_ objects: any ObjectStore, isResumed: Bool) throws {
        notices = ErasureNotices(objects: objects)
        state = Mutex(State(known: isResumed ? [] : try notices.keys()))
    }

    /// Those whose erasing was noted up to now.
    public func users() throws -> Set<Tenant> {
        try state.withLock { state in
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            for notice in try notices.read(except: state.known, now: now) {
                state.known.insert(notice.key)
                state.users.insert(.user(notice.userID))
            }
            return state.users
        }
    }
}
