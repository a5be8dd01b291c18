import Foundation
import ServiceLifecycle

/// Work that blocks, on a thread of its own, as a service: it ends when the work does.
struct ThreadService: Service, CustomStringConvertible {
    let description: String
    let work: @Sendable () -> Void
    /// Makes `work` return soon. Called from any thread, perhaps more than once.
    let stop: @Sendable () -> Void

    init(_ name: String, stop: @escaping @Sendable () -> Void, work: @escaping @Sendable () -> Void) {
        description = name
        self.stop = stop
        self.work = work
    }

    func run() async throws {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await withCheckedContinuation { continuation in
                    let thread = Thread {
                        work()
                        continuation.resume()
                    }
                    thread.name = description
                    thread.start()
                }
            } onGracefulShutdown: {
                stop()
            }
        } onCancel: {
            stop()
        }
    }
}
