import Exact
import Foundation
import SchemaRegistry
import Synchronization

/// Reads and parses ahead on a thread of its own.
final class BatchReader: Sendable {
    let batches = BoundedQueue<ConsumedBatch>(capacity: 1)
    private let stream: any TransactionStream
    private let limits: BatchLimits
    private let zone: PlaceZone?
    private let schemas: SchemaRegistry?
    private let status: ServingStatus
    private let worker: ServingStatus.Worker
    private let state = Mutex((isStopping: false, failure: (any Error)?.none))
    private let ended = DispatchSemaphore(value: 0)

    init(
        stream: any TransactionStream, limits: BatchLimits, zone: PlaceZone?, schemas: SchemaRegistry?,
        status: ServingStatus, worker: ServingStatus.Worker
    ) {
        self.stream = stream
        self.limits = limits
        self.zone = zone
        self.schemas = schemas
        self.status = status
        self.worker = worker
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
        let stage = ConsumeStage(zone: zone, schemas: schemas)
        while !state.withLock({ $0.isStopping }) {
            let records = try stream.next(limits)
            status.setStreamTrouble(stream.trouble, of: worker)
            guard let records else {
                if stream.isFinished { return }
                continue
            }
            guard let batch = try consume(records, stage) else { continue }
            while !batches.put(batch, timeoutMilliseconds: 500) {
                if state.withLock({ $0.isStopping }) { return }
                try stream.heartbeat()
                status.setStreamTrouble(stream.trouble, of: worker)
            }
        }
    }

    /// Parses records, waiting for a schema registry that is away: nothing is read meanwhile.
    ///
    /// - Returns: nil: there is a stop, or the partitions were given up, whose owner reads the records again.
    private func consume(_ records: RawRecords, _ stage: ConsumeStage) throws -> ConsumedBatch? {
        var waitMilliseconds = 200
        while true {
            do throws(SchemaRegistryError) {
                let start = ContinuousClock.now
                defer { status.record([.consume: ContinuousClock.now - start]) }
                return try stage.run(records)
            } catch {
                status.setStreamTrouble(error.description, of: worker)
            }
            let deadline = ContinuousClock.now + .milliseconds(waitMilliseconds)
            waitMilliseconds = min(waitMilliseconds * 2, 5_000)
            while .now < deadline {
                guard !state.withLock({ $0.isStopping }) else { return nil }
                try stream.heartbeat()
                guard stream.isCurrent(records.assignment) else { return nil }
                Thread.sleep(forTimeInterval: 0.1)
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
