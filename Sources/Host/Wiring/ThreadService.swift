import Foundation
import ServiceLifecycle
import Synchronization

/// Work that blocks, on a thread of its own, as a service: it ends when the work does, or when it is cancelled,
/// which leaves the thread behind.
struct ThreadService: Service, CustomStringConvertible {
    let description: String
    let work: @Sendable () throws -> Void
    /// Makes `work` return soon. Called from any thread, perhaps more than once.
    let stop: @Sendable () -> Void

    init(_ name: String, stop: @escaping @Sendable () -> Void, work: @escaping @Sendable () throws -> Void) {
        description = name
        self.stop = stop
        self.work = work
    }

    /// - Throws: What the work throws; `ThreadLeftBehind` when it was cancelled before its work had ended, which is said
    ///   on standard error where it had been told to end.
    func run() async throws {
        let outcome = Outcome()
        let isTold = Mutex(false)
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await withCheckedThrowingContinuation { continuation in
                    outcome.wait(continuation)
                    let thread = Thread {
                        outcome.end(Result { try work() })
                    }
                    thread.name = description
                    thread.start()
                }
            } onGracefulShutdown: {
                isTold.withLock { $0 = true }
                stop()
            }
        } onCancel: {
            // Services end one after another: those whose turn has not come have held nothing up.
            if isTold.withLock({ $0 }), outcome.isOpen {
                let text = "ml-service: \(description) did not end in its time; the process ends without it\n"
                FileHandle.standardError.write(Data(text.utf8))
            }
            stop()
            outcome.end(.failure(ThreadLeftBehind()))
        }
    }

    /// The first of the work's end and its cancellation.
    private final class Outcome: Sendable {
        private struct State {
            var continuation: CheckedContinuation<Void, any Error>?
            var result: Result<Void, any Error>?
        }
        private let state = Mutex(State())

        /// Whether the work goes on.
        var isOpen: Bool { state.withLock { $0.result == nil } }

        func wait(_ continuation: CheckedContinuation<Void, any Error>) {
            let result = state.withLock { state in
                if state.result == nil { state.continuation = continuation }
                return state.result
            }
            if let result { continuation.resume(with: result) }
        }

        func end(_ result: Result<Void, any Error>) {
            let continuation = state.withLock { state in
                guard state.result == nil else { return CheckedContinuation<Void, any Error>?.none }
                state.result = result
                defer { state.continuation = nil }
                return state.continuation
            }
            continuation?.resume(with: result)
        }
    }
}

/// Something goes on that the process has waited for in vain.
struct ThreadLeftBehind: Error {}
