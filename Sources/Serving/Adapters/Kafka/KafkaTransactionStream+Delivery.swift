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

/// A delivery between `prepare` and its end.
struct OpenDelivery: Sendable {
    let slices: [PartitionSlice]
    let assignment: UInt64
    /// This member's place in the group when the records were read.
    let group: KafkaGroupMetadata
    let since = ContinuousClock.now
    /// When its time is up.
    let deadline: ContinuousClock.Instant
    /// Whether there is a transaction that is to be ended.
    var isInTransaction = false
    /// When the time of its abort is up; nil: nobody has asked for that.
    var abortDeadline: ContinuousClock.Instant?

    var offsets: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.end) }, uniquingKeysWith: max)
    }

    var starts: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.start) }, uniquingKeysWith: min)
    }
}

extension KafkaTransactionStream {
    /// The time of one call of a delivery; it is called again until the delivery's own time is up.
    private static let callMilliseconds = 2_000

    public func prepare(_ delivery: Delivery) throws {
        // Held until the delivery ends: a revocation waits for it.
        guard let group = assignments.beginDelivery(delivery.assignment) else {
            throw DeliveryError.assignmentEnded
        }
        let open = OpenDelivery(
            slices: delivery.slices, assignment: delivery.assignment, group: group,
            deadline: .now + settings.deliveryTimeout)
        state.withLock { $0.open = open }
        do {
            switch settings.guarantee {
            case .exactlyOnce: try prepareTransaction(delivery, open)
            case .atLeastOnce: try prepareAtLeastOnce(delivery, open)
            }
        } catch let error as KafkaError {
            throw consequence(of: error, open)
        }
    }

    private func prepareTransaction(_ delivery: Delivery, _ open: OpenDelivery) throws {
        try producer.begin()
        state.withLock { $0.open?.isInTransaction = true }
        try produce(delivery, until: open.deadline)
        // The call that may not return: after a broker's restart it is this that the session's end waits for.
        try retrying(until: open.deadline) {
            try producer.send(offsets: open.offsets, group: open.group, timeoutMilliseconds: $0)
        }
    }

    private func prepareAtLeastOnce(_ delivery: Delivery, _ open: OpenDelivery) throws {
        // Changes nothing, but is refused from a member that has lost its partitions: one that has slept through it would
        // set the windows back to this batch's. Whoever takes them over later than this changes what was read.
        try retrying(until: open.deadline) {
            try consumer.commit(open.starts, group: open.group, timeoutMilliseconds: $0)
        }
        try produce(delivery, until: open.deadline)
        try retrying(until: open.deadline) { try producer.flush(timeoutMilliseconds: $0) }
    }

    public func commit() throws {
        guard let open = state.withLock({ $0.open }) else {
            preconditionFailure("a delivery is committed that was not prepared")
        }
        do {
            try once(until: open.deadline) { milliseconds in
                switch settings.guarantee {
                case .exactlyOnce: try producer.commit(timeoutMilliseconds: milliseconds)
                case .atLeastOnce:
                    try consumer.commit(
                        open.offsets, group: open.group, timeoutMilliseconds: milliseconds)
                }
            }
        } catch let error as KafkaError {
            // Not answered in all its time: whether it took place is for the next session to find out.
            guard error.mayBeRepeated else { throw consequence(of: error, open) }
            throw SessionEnded(error, isRetryable: true, remainder: .nothing)
        }
        state.withLock { $0.refusedOutputs = nil }
        endDelivery()
        setTrouble(nil)
        lag.report(open.slices, consumer)
    }

    /// A transaction that cannot be aborted soon is left to the next session, which ends it.
    public func abort() throws {
        let open = state.withLock { state in
            let deadline = state.open?.abortDeadline ?? .now + .seconds(3)
            state.open?.abortDeadline = deadline
            return state.open
        }
        if let open, open.isInTransaction, let deadline = open.abortDeadline {
            do {
                try once(until: deadline, afterStop: .milliseconds(1_500)) {
                    try producer.abort(timeoutMilliseconds: $0)
                }
            } catch let error as KafkaError {
                throw error.endingSession
            }
        }
        endDelivery()
    }

    public func abandon() { endDelivery() }

    private func endDelivery() {
        state.withLock { $0.open = nil }
        assignments.endDelivery()
    }

    /// What a failed step means for its batch.
    private func consequence(of error: KafkaError, _ open: OpenDelivery) -> any Error {
        if error.isFatal { return error.endingSession }
        if error.isTooLarge {
            let isFurther = state.withLock { state in
                guard let refused = state.refusedOutputs, refused.slices == open.slices else {
                    state.refusedOutputs = RefusedOutputs(slices: open.slices)
                    return true
                }
                state.refusedOutputs?.hasFound = false
                return refused.hasFound
            }
            // Not even an excerpt is taken: no retry helps.
            return isFurther ? DeliveryError.mustAbort(error) : error.endingSession
        }
        if error.isGenerationChange {
            // The group has moved on, and the rebalance that tells us is on its way.
            if isRefusedForLong(open.assignment) {
                return SessionEnded(ServingError.assignmentRefused, isRetryable: true)
            }
            return DeliveryError.mustAbort(error)
        }
        return error.requiresAbort ? DeliveryError.mustAbort(error) : error.endingSession
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

    /// Calls again what the client says to call again, since the outcome is open until it answers.
    private func retrying(until deadline: ContinuousClock.Instant, _ call: (Int) throws -> Void) throws {
        while true {
            do {
                return try once(until: deadline, call)
            } catch DeliveryError.unanswered {
                continue
            }
        }
    }

    /// - Parameters:
    ///   - afterStop: What is added to the time that a stream may take which has been told to stop.
    ///   - call: Is given the milliseconds that it may take: few, so that it is known soon that the stream is to stop.
    /// - Throws: `DeliveryError.unanswered` where the call is to be made again, and there is time for that.
    private func once(
        until deadline: ContinuousClock.Instant, afterStop: Duration = .zero, _ call: (Int) throws -> Void
    ) throws {
        var end: ContinuousClock.Instant {
            state.withLock { $0.stopBy }.map { min(deadline, $0 + afterStop) } ?? deadline
        }
        let remaining = Int((end - .now) / .milliseconds(1))
        do {
            try call(max(1, min(remaining, Self.callMilliseconds)))
        } catch let error as KafkaError where error.mayBeRepeated && .now < end {
            setTrouble("\(error)")
            Thread.sleep(forTimeInterval: 0.1)
            throw DeliveryError.unanswered(error)
        }
    }
}

extension KafkaError {
    /// The same call by the same client, in the same transaction.
    fileprivate var mayBeRepeated: Bool { isRetryable && !isFatal && !requiresAbort }
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
                    headers: (delivery.verdicts.identity(index).map(cloudEvent.headers) ?? [])
                        + (delivery.verdicts.trace(index)?.headers ?? []))
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
    fileprivate func place(ofVerdict index: Int) -> RefusedOutputs.Place {
        let (slice, offset) = verdicts.place(index)
        return RefusedOutputs.Place(source: slices[Int(slice)].source, offset: offset)
    }
}
