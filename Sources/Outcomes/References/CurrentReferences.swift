import Logging
import Metrics
import ObjectStore
import Retrying
import Synchronization

/// The table that serves here, and who looks for newer ones. Thread-safe.
///
/// A batch takes `current` once, so that a table changes between batches only.
public final class CurrentReferences: Sendable {
    private struct State {
        var ready: ReadyReferences?
        /// Why the version that should serve does not.
        var trouble: String?
    }

    private let store: ReferenceStore
    private let logger: Logger
    private let state = Mutex(State())
    private let stopping = StopSignal()

    public init(store: ReferenceStore, logger: Logger) {
        self.store = store
        self.logger = logger
    }

    /// nil: there is no table, or none that can be used.
    public var current: ReadyReferences? { state.withLock { $0.ready } }

    /// Why the version that should serve does not; nil: it does.
    public var trouble: String? { state.withLock { $0.trouble } }

    /// Looks which version should serve, and fetches it if it is another than the present one. A version that cannot be
    /// used leaves the present one in place.
    public func refresh() {
        do {
            let known = current?.version
            guard let version = try store.latest() else {
                state.withLock { $0.trouble = nil }
                return
            }
            if version == known {
                state.withLock { $0.trouble = nil }
                return
            }
            let ready = try store.load(version)
            state.withLock {
                $0.ready = ready
                $0.trouble = nil
            }
            Gauge(label: "ml_reference_version").record(version)
            logger.notice(
                "a reference table serves",
                metadata: ["version": "\(version)", "entries": "\(ready.table.count)"])
        } catch {
            Counter(label: "ml_reference_failures_total").increment()
            let isNews = state.withLock { state in
                defer { state.trouble = "\(error)" }
                return state.trouble != "\(error)"
            }
            if isNews {
                logger.warning(
                    "a reference table cannot be used; the present one goes on",
                    metadata: [
                        "reason": "\(error)", "version": "\(current.map { "\($0.version)" } ?? "none")",
                    ])
            }
        }
    }

    /// Takes a version that was named; replays do.
    public func use(_ version: Int) throws {
        let ready = try store.load(version)
        state.withLock { $0.ready = ready }
    }

    // MARK: As a service

    /// Looks every so often until `stop` is called; blocks.
    public func follow(everySeconds seconds: Int) {
        stopping.untilGiven(every: .seconds(seconds)) { refresh() }
    }

    public func stop() { stopping.give() }
}
