import Foundation
import ObjectStore

/// A few threads that make requests before their bytes are needed, so that a scan does not stand still for each answer
/// of a store that is far away. They end with the scan.
final class ReadAhead: Sendable {
    /// The outcome of one request.
    typealias Outcome = Result<[UInt8], ObjectStoreError>

    fileprivate typealias Request = @Sendable () throws(ObjectStoreError) -> [UInt8]

    /// What to wait on.
    struct Ticket: Sendable {
        fileprivate let number: Int
        fileprivate let shared: Shared

        /// Waits for the request to be answered; once only.
        func wait() -> Outcome { shared.wait(number) }
    }

    private let shared = Shared()

    /// - Parameter threads: how many requests run at a time, at most.
    init(threads: Int) {
        for _ in 0..<threads { shared.startWorker() }
    }

    /// Queues a request. Whoever does not wait for the ticket leaves its bytes in memory until `stop`.
    func start(_ request: @escaping @Sendable () throws(ObjectStoreError) -> [UInt8]) -> Ticket {
        Ticket(number: shared.add(request), shared: shared)
    }

    /// Forgets the requests that have not begun and waits for those that have, and for the threads to end. Nobody may
    /// wait for a ticket any more.
    func stop() { shared.stop() }

    /// What the threads share.
    ///
    /// `@unchecked Sendable`: every access to its variables holds the lock of `condition`.
    fileprivate final class Shared: @unchecked Sendable {
        private let condition = NSCondition()
        private var queue: [(number: Int, request: Request)] = []
        private var outcomes: [Int: Outcome] = [:]
        private var count = 0
        private var workers = 0
        private var isStopped = false

        func startWorker() {
            condition.withLock { workers += 1 }
            Thread.detachNewThread { [self] in
                while let (number, request) = next() { finish(number, Outcome(catching: request)) }
                condition.withLock {
                    workers -= 1
                    condition.broadcast()
                }
            }
        }

        func add(_ request: @escaping Request) -> Int {
            condition.withLock {
                count += 1
                queue.append((count, request))
                condition.broadcast()
                return count
            }
        }

        func wait(_ number: Int) -> Outcome {
            condition.withLock {
                while true {
                    if let outcome = outcomes.removeValue(forKey: number) { return outcome }
                    condition.wait()
                }
            }
        }

        func stop() {
            condition.withLock {
                isStopped = true
                queue.removeAll()
                condition.broadcast()
                while workers > 0 { condition.wait() }
            }
        }

        private func next() -> (Int, Request)? {
            condition.withLock {
                while queue.isEmpty, !isStopped { condition.wait() }
                return queue.isEmpty ? nil : queue.removeFirst()
            }
        }

        private func finish(_ number: Int, _ outcome: Outcome) {
            condition.withLock {
                outcomes[number] = outcome
                condition.broadcast()
            }
        }
    }
}
