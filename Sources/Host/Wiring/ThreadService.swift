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

    /// - Throws: What the work throws; `ThreadLeftBehind` when it was cancelled before its work had ended.
    func run() async throws {
        let outcome = Outcome()
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
                stop()
            }
        } onCancel: {
            stop()
            outcome.end(.failure(ThreadLeftBehind(service: description)))
        }
    }

    /// The first of the work's end and its cancellation.
    private final class Outcome: Sendable {
        private struct State {
            var continuation: CheckedContinuation<Void, any Error>?
            var result: Result<Void, any Error>?
        }
        private let state = Mutex(State())

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

/// Something that the process waited for in vain when it was told to end.
struct ThreadLeftBehind: Error, CustomStringConvertible {
    let service: String
    var description: String { "\(service) did not end in its time; the process ends without it" }
}
