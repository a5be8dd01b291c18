import Foundation
import Kafka

// MARK: Delivering. Called by the scoring thread.

/// Outputs of a batch that the broker has refused as too large: excerpts of them are delivered as dead letters.
///
/// A refusal comes after the sending, and names no more than the topic. So after the first one the batch's outputs are
/// sent one by one, each waited for, until the one that is refused is known; and the batch is delivered again.
struct RefusedOutputs {
    struct Place: Hashable {
        let source: TopicPartition
        let offset: Int64
    }

    let slices: [PartitionSlice]
    var places: Set<Place> = []
    /// Whether the last attempt has found another one.
    var hasFound = false
}

extension KafkaTransactionStream {
    /// The time of one call of a delivery; it is called again until the delivery's own time is up.
    private static let callMilliseconds = 2_000

    /// - Throws: `DeliveryAborted`, or `SessionEnded`, or what `writeWindows` throws.
    public func deliver(
        _ delivery: Delivery, writeWindows: () throws -> Bool
    ) throws -> DeliveryOutcome {
        state.withLock { $0.deliveringSince = .now }
        defer { state.withLock { $0.deliveringSince = nil } }
        let deadline = ContinuousClock.now + settings.deliveryTimeout
        do {
            // Held until the batch is delivered: a revocation waits for it.
            let isDelivered = try assignments.delivering(delivery.assignment) { group in
                switch settings.guarantee {
                case .exactlyOnce: try deliverTransaction(delivery, group, deadline, writeWindows)
                case .atLeastOnce: try deliverAtLeastOnce(delivery, group, deadline, writeWindows)
                }
            }
            guard let isDelivered else { return .assignmentEnded }
            state.withLock { if isDelivered { $0.refusedOutputs = nil } }
            setTrouble(nil)
            if isDelivered { lag.report(delivery.slices, consumer) }
            return isDelivered ? .delivered : .windowsChanged
        } catch let error as KafkaError {
            throw ending(error, delivery)
        }
    }

    /// What a failed delivery means for its batch.
    private func ending(_ error: KafkaError, _ delivery: Delivery) -> any Error {
        if error.isFatal { return error.endingSession }
        if error.isTooLarge {
            let isFurther = state.withLock { state in
                guard let refused = state.refusedOutputs, refused.slices == delivery.slices else {
                    state.refusedOutputs = RefusedOutputs(slices: delivery.slices)
                    return true
                }
                state.refusedOutputs?.hasFound = false
                return refused.hasFound
            }
            // Not even an excerpt is taken: no retry helps.
            return isFurther ? DeliveryAborted(error) : error.endingSession
        }
        if error.isGenerationChange {
            // The group has moved on, and the rebalance that tells us is on its way.
            if isRefusedForLong(delivery.assignment) {
                return SessionEnded(ServingError.assignmentRefused, isRetryable: true)
            }
            return DeliveryAborted(error)
        }
        return error.requiresAbort ? DeliveryAborted(error) : error.endingSession
    }

    /// - Returns: Whether the broker has refused the offsets of this assignment for so long that the rebalance
    ///   which would explain it is not to be expected any more.
    private func isRefusedForLong(_ assignment: UInt64) -> Bool {
        state.withLock { state in
            if let refused = state.refused, refused.assignment == assignment {
                return .now - refused.since > .seconds(20)
            }
            state.refused = (assignment, .now)
            return false
        }
    }

    private func deliverTransaction(
        _ delivery: Delivery, _ group: KafkaGroupMetadata, _ deadline: ContinuousClock.Instant,
        _ writeWindows: () throws -> Bool
    ) throws -> Bool {
        try producer.begin()
        do {
            try produce(delivery, until: deadline)
            // The call that may not return: after a broker's restart it is this that the session's end waits for.
            try retrying(until: deadline) {
                try producer.send(offsets: delivery.offsets, group: group, timeoutMilliseconds: $0)
            }
            guard try writeWindows() else {
                try abort()
                return false
            }
        } catch let error as KafkaError where error.isFatal {
            throw error
        } catch {
            try abort()
            throw error
        }
        do {
            try retrying(until: deadline) { try producer.commit(timeoutMilliseconds: $0) }
        } catch let error as KafkaError where error.requiresAbort {
            try abort()
            throw error
        }
        return true
    }

    private func deliverAtLeastOnce(
        _ delivery: Delivery, _ group: KafkaGroupMetadata, _ deadline: ContinuousClock.Instant,
        _ writeWindows: () throws -> Bool
    ) throws -> Bool {
        // Changes nothing, but is refused from a member that has lost its partitions: one that has slept through it would
        // set the windows back to this batch's. Whoever takes them over later than this changes what was read.
        try retrying(until: deadline) {
            try consumer.commit(delivery.starts, group: group, timeoutMilliseconds: $0)
        }
        try produce(delivery, until: deadline)
        try retrying(until: deadline) { try producer.flush(timeoutMilliseconds: $0) }
        guard try writeWindows() else { return false }
        try retrying(until: deadline) {
            try consumer.commit(delivery.offsets, group: group, timeoutMilliseconds: $0)
        }
        return true
    }

    /// A transaction that cannot be aborted soon is left to the next session, which ends it.
    private func abort() throws {
        try retrying(until: .now + .seconds(3), afterStop: .milliseconds(1_500)) {
            try producer.abort(timeoutMilliseconds: $0)
        }
    }

    /// Calls again what the client says to call again, since the outcome is open until it answers.
    ///
    /// - Parameters:
    ///   - afterStop: What is added to the time that a stream may take which has been told to stop.
    ///   - call: Is given the milliseconds that it may take: few, so that it is known soon that the stream is to stop.
    private func retrying(
        until deadline: ContinuousClock.Instant, afterStop: Duration = .zero, _ call: (Int) throws -> Void
    ) throws {
        var end: ContinuousClock.Instant {
            state.withLock { $0.stopBy }.map { min(deadline, $0 + afterStop) } ?? deadline
        }
        while true {
            let remaining = Int((end - .now) / .milliseconds(1))
            do {
                return try call(max(1, min(remaining, Self.callMilliseconds)))
            } catch let error as KafkaError
                where error.isRetryable && !error.isFatal && !error.requiresAbort && .now < end
            {
                setTrouble("\(error)")
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
    }
}

// MARK: Outputs

extension KafkaTransactionStream {
    private func produce(_ delivery: Delivery, until deadline: ContinuousClock.Instant) throws {
        let refused = state.withLock { $0.refusedOutputs }.flatMap { $0.slices == delivery.slices ? $0 : nil }
        var letters = delivery.deadLetters
        let cloudEvent = CloudEvent(group: settings.group, topic: settings.topic)
        try delivery.verdicts.visit { index, key, payload in
            let place = delivery.place(ofVerdict: index)
            let isSent = try send(place, refused, deadline) {
                try producer.produce(
                    topic: settings.verdictTopic, key: key, payload: payload,
                    headers: delivery.verdicts.identity(index).map(cloudEvent.headers) ?? [])
            }
            guard !isSent else { return }
            letters.append(
                DeadLetter(
                    payload: Array(payload), key: Array(key), source: place.source, offset: place.offset,
                    reason: "verdict-too-large",
                    detail: "the verdict of this record is larger than a message may be"))
        }
        for letter in letters {
            let place = RefusedOutputs.Place(source: letter.source, offset: letter.offset)
            let isSent = try send(place, refused, deadline) {
                try produce(letter.message)
            }
            if !isSent { try produce(letter.excerpt) }
        }
    }

    /// - Returns: false when the message is larger than the client takes, or has been refused by the broker before.
    private func send(
        _ place: RefusedOutputs.Place, _ refused: RefusedOutputs?, _ deadline: ContinuousClock.Instant,
        _ produce: () throws -> Void
    ) throws -> Bool {
        if let refused, refused.places.contains(place) { return false }
        do {
            try produce()
        } catch let error as KafkaError where error.isTooLarge {
            return false
        }
        guard refused != nil else { return true }
        do {
            try retrying(until: deadline) { try producer.flush(timeoutMilliseconds: $0) }
        } catch let error as KafkaError where error.isTooLarge {
            state.withLock { state in
                state.refusedOutputs?.places.insert(place)
                state.refusedOutputs?.hasFound = true
            }
            throw error
        }
        return true
    }

    private func produce(_ message: DeadLetter.Message) throws(KafkaError) {
        try producer.produce(
            topic: settings.deadLetterTopic, key: message.key, payload: message.payload,
            headers: message.headers)
    }
}

extension Delivery {
    fileprivate var offsets: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.end) }, uniquingKeysWith: max)
    }

    fileprivate var starts: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.start) }, uniquingKeysWith: min)
    }

    fileprivate func place(ofVerdict index: Int) -> RefusedOutputs.Place {
        let (slice, offset) = verdicts.place(index)
        return RefusedOutputs.Place(source: slices[Int(slice)].source, offset: offset)
    }
}
