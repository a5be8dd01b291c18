import Exact
import Foundation
import Synchronization

/// Reads and parses ahead on a thread of its own.
final class BatchReader: Sendable {
    let batches = BoundedQueue<ConsumedBatch>(capacity: 1)
    private let stream: any TransactionStream
    private let limits: BatchLimits
    private let zone: PlaceZone?
    private let status: ServingStatus
    private let state = Mutex((isStopping: false, failure: (any Error)?.none))
    private let ended = DispatchSemaphore(value: 0)

    init(stream: any TransactionStream, limits: BatchLimits, zone: PlaceZone?, status: ServingStatus) {
        self.stream = stream
        self.limits = limits
        self.zone = zone
        self.status = status
    }

    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Called once.
    func start() {
        let thread = Thread { [self] in
            do {
                try read()
            } catch {
                state.withLock { $0.failure = error }
            }
            batches.close()
            ended.signal()
        }
        thread.name = "reader"
        thread.start()
    }

    private func read() throws {
        let stage = ConsumeStage(zone: zone)
        while !state.withLock({ $0.isStopping }) {
            let records = try stream.next(limits)
            status.setStreamTrouble(stream.trouble)
            guard let records else {
                if stream.isFinished { return }
                continue
            }
            let batch = status.timing(.consume) { stage.run(records) }
            while !batches.put(batch, timeoutMilliseconds: 500) {
                if state.withLock({ $0.isStopping }) { return }
                try stream.heartbeat()
                status.setStreamTrouble(stream.trouble)
            }
        }
    }

    /// Called from any thread.
    func stop() {
        state.withLock { $0.isStopping = true }
        batches.closeAndDrop()
    }

    func stopAndJoin() {
        stop()
        ended.wait()
    }
}
