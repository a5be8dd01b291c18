import Foundation
import Synchronization

/// Removes the windows of users whom another process has erased. Used by one thread.
public final class ErasureFollower: Sendable {
    private let notices: ErasureNotices
    private let remove: @Sendable (_ userID: String) throws -> Void
    private let done = Mutex<Set<String>>([])

    public init(notices: ErasureNotices, remove: @escaping @Sendable (_ userID: String) throws -> Void) {
        self.notices = notices
        self.remove = remove
    }

    func run() throws {
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        for notice in try notices.read(except: done.withLock { $0 }, now: now) {
            try remove(notice.userID)
            done.withLock { _ = $0.insert(notice.key) }
        }
    }
}
