import ObjectStore
import Synchronization

/// Bytes of files that were fetched moments ago, so that they are not fetched again: whoever asks for one user soon asks
/// for another, whose rows lie behind the same footers. Bounded; what was fetched first goes first. Thread-safe.
final class RecentBytes: Sendable {
    private struct Key: Hashable {
        let file: String
        let tag: VersionTag
        let range: Range<Int>
    }

    private struct State {
        var bytes: [Key: [UInt8]] = [:]
        /// In the order in which they came, from `first` on.
        var order: [Key] = []
        var first = 0
        var sizeBytes = 0
    }

    private let maximumBytes: Int
    private let state = Mutex(State())

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// A file as it is now: one that is replaced has another tag, and nothing is known of it.
    struct File: Sendable {
        let recent: RecentBytes
        let key: String
        let tag: VersionTag

        func bytes(_ range: Range<Int>) -> [UInt8]? {
            recent.state.withLock { $0.bytes[Key(file: key, tag: tag, range: range)] }
        }

        func keep(_ bytes: [UInt8], _ range: Range<Int>) {
            recent.keep(bytes, Key(file: key, tag: tag, range: range))
        }
    }

    private func keep(_ bytes: [UInt8], _ key: Key) {
        // One that would push out most others is not worth it.
        guard bytes.count <= maximumBytes / 4 else { return }
        state.withLock { state in
            guard state.bytes.updateValue(bytes, forKey: key) == nil else { return }
            state.order.append(key)
            state.sizeBytes += bytes.count
            while state.sizeBytes > maximumBytes {
                let oldest = state.order[state.first]
                state.first += 1
                state.sizeBytes -= state.bytes.removeValue(forKey: oldest)?.count ?? 0
            }
            if state.first > 1024, state.first * 2 > state.order.count {
                state.order.removeFirst(state.first)
                state.first = 0
            }
        }
    }
}
