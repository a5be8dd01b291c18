import Foundation
import Logging
import Metrics
import ObjectStore
import Retrying
import Synchronization

/// The rules that serve here, and who looks for newer ones. Thread-safe.
///
/// A batch takes `current` once, so that rules change between batches only. What was fetched last is kept in a file, so that
/// a process that starts while the store is away goes on with it.
public final class CurrentRules: Sendable {
    private struct State {
        var set = RuleSet.none
        /// The store has said that it has this version.
        var isConfirmed = false
        /// The store, now or in an earlier life of this process, has said which rules there are.
        var isKnown = false
        /// The file says that there are none.
        var isNoneKept = false
        /// Why the version that should serve does not.
        var trouble: String?
    }

    private let store: RuleStore
    private let cachePath: String?
    private let logger: Logger
    private let state: Mutex<State>
    private let stopping = StopSignal()

    /// - Parameter cachePath: The file; nil: nothing is kept.
    public init(store: RuleStore, cachePath: String? = nil, logger: Logger) {
        self.store = store
        self.cachePath = cachePath
        self.logger = logger
        var state = State()
        if let cachePath, let data = FileManager.default.contents(atPath: cachePath) {
            if data.isEmpty {
                (state.isKnown, state.isNoneKept) = (true, true)
            } else if let kept = try? store.decode([UInt8](data)) {
                (state.set, state.isKnown) = (kept, true)
            }
        }
        self.state = Mutex(state)
    }

    public var current: RuleSet { state.withLock { $0.set } }

    /// false: nobody has said yet which rules there are, so that none is not an answer.
    public var isKnown: Bool { state.withLock { $0.isKnown } }

    /// Why the version that should serve does not; nil: it does.
    public var trouble: String? { state.withLock { $0.trouble } }

    /// Looks which version should serve, and fetches it if it is another than the present one. A version that cannot be
    /// used, or a store that is away, leaves the present one in place.
    public func refresh() {
        do {
            try confirm()
            let known = current.version
            let version = try store.newest(after: known)
            if version != known {
                let found = try store.fetch(version)
                take(found.set, bytes: found.bytes)
            }
            if version == 0 { keepNone() }
            state.withLock { ($0.isKnown, $0.trouble) = (true, nil) }
        } catch {
            Counter(label: "ml_rules_failures_total").increment()
            // A version that is damaged is an answer, too: what is present goes on.
            let isAnswer = (error as? ObjectStoreError)?.isRetryable != true
            let isNews = state.withLock { state in
                state.isKnown = state.isKnown || isAnswer
                defer { state.trouble = "\(error)" }
                return state.trouble != "\(error)"
            }
            if isNews {
                logger.warning(
                    "newer rules cannot be used; the present ones go on",
                    metadata: ["reason": "\(error)", "version": "\(current.version)"])
            }
        }
    }

    /// Takes a version that was named; replays do.
    public func use(_ version: Int) throws { take(try store.load(version), bytes: nil) }

    /// What was kept in a file may be of another store.
    private func confirm() throws {
        let (set, isConfirmed) = state.withLock { ($0.set, $0.isConfirmed) }
        guard !isConfirmed else { return }
        do {
            let stored = try store.load(set.version)
            if stored.sha256 == set.sha256 { return state.withLock { $0.isConfirmed = true } }
        } catch let error as RuleError {
            // It is gone or damaged there: what is there now decides.
            logger.warning(
                "the rules that were kept here are not the store's", metadata: ["reason": "\(error)"])
        }
        state.withLock { ($0.set, $0.isConfirmed) = (.none, true) }
    }

    /// - Parameter bytes: To be kept; nil: they are not.
    private func take(_ set: RuleSet, bytes: [UInt8]?) {
        state.withLock { ($0.set, $0.isConfirmed, $0.isKnown) = (set, true, true) }
        Gauge(label: "ml_rules_version").record(set.version)
        logger.notice(
            "rules serve", metadata: ["version": "\(set.version)", "rules": "\(set.rules.count)"])
        if let bytes, keep(bytes) { state.withLock { $0.isNoneKept = false } }
    }

    /// An empty file.
    private func keepNone() {
        guard !state.withLock({ $0.isNoneKept }), keep([]) else { return }
        state.withLock { $0.isNoneKept = true }
    }

    private func keep(_ bytes: [UInt8]) -> Bool {
        guard let cachePath else { return false }
        do {
            try Data(bytes).write(to: URL(filePath: cachePath), options: .atomic)
            // They name users.
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: cachePath)
            return true
        } catch {
            // A full disk stops no scoring.
            logger.warning("the rules cannot be kept here", metadata: ["reason": "\(error)"])
            return false
        }
    }

    // MARK: As a service

    /// Looks every so often until `stop` is called; blocks.
    public func follow(everySeconds seconds: Int) {
        stopping.untilGiven(every: .seconds(seconds)) { refresh() }
    }

    public func stop() { stopping.give() }
}
