import Foundation
import Synchronization

/// The scoring workers of a process, which share the partitions of a stream: one computes while the other waits for the
/// broker or the windows.
public final class ScoringWorkers: Sendable {
    private let workers: [ScoringWorker]

    /// - Parameter workers: At least one.
    public init(_ workers: [ScoringWorker]) {
        precondition(!workers.isEmpty, "somebody has to score")
        self.workers = workers
    }

    /// Makes `run` return after the batches that are being worked on. All are told at once: what one gives up would go
    /// to the other first.
    public func stop() { for worker in workers { worker.stop() } }

    /// Serves until all workers have ended, on the calling thread and one more for each further worker.
    ///
    /// - Throws: The first failure, which stops the others.
    public func run() throws {
        let failure = Mutex<(any Error)?>(nil)
        let others = DispatchGroup()
        let serve: @Sendable (ScoringWorker) -> Void = { [self] worker in
            do {
                try worker.run()
            } catch {
                failure.withLock { $0 = $0 ?? error }
                stop()
            }
        }
        for worker in workers.dropFirst() {
            others.enter()
            let thread = Thread {
                serve(worker)
                others.leave()
            }
            thread.name = "scoring"
            thread.start()
        }
        serve(workers[0])
        others.wait()
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
