import Foundation
import Kafka

// MARK: Delivering. Called by the scoring thread.

extension KafkaTransactionStream {
    public func deliver(
        _ delivery: Delivery, writeWindows: () throws -> Bool
    ) throws -> DeliveryOutcome {
        setDelivering(true)
        defer { setDelivering(false) }
        let deadline = ContinuousClock.now + settings.deliveryTimeout
        do {
            // Held until the batch is delivered: a revocation waits for it.
            let isDelivered = try assignments.delivering(delivery.assignment) { group in
                switch settings.guarantee {
                case .exactlyOnce: try deliverTransaction(delivery, group, deadline, writeWindows)
                case .atLeastOnce: try deliverAtLeastOnce(delivery, deadline, writeWindows)
                }
            }
            guard let isDelivered else { return .assignmentEnded }
            setTrouble(nil)
            return isDelivered ? .delivered : .windowsChanged
        } catch let error as KafkaError where error.isGenerationChange {
            // The group has moved on, and the rebalance that tells us is on its way.
            if isRefusedForLong(delivery.assignment) { throw ServingError.assignmentRefused }
            throw error
        }
    }

    private func deliverTransaction(
        _ delivery: Delivery, _ group: KafkaGroupMetadata, _ deadline: ContinuousClock.Instant,
        _ writeWindows: () throws -> Bool
    ) throws -> Bool {
        try producer.begin()
        do {
            try produce(delivery)
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
        _ delivery: Delivery, _ deadline: ContinuousClock.Instant, _ writeWindows: () throws -> Bool
    ) throws -> Bool {
        try produce(delivery)
        try retrying(until: deadline) { try producer.flush(timeoutMilliseconds: $0) }
        guard try writeWindows() else { return false }
        try retrying(until: deadline) { try consumer.commit(delivery.offsets, timeoutMilliseconds: $0) }
        return true
    }

    /// A transaction that cannot be aborted soon is left to the next session, which ends it.
    private func abort() throws {
        try retrying(until: .now + .seconds(3)) { try producer.abort(timeoutMilliseconds: $0) }
    }

    /// Calls again what the client says to call again, since the outcome is open until it answers.
    ///
    /// - Parameter call: Is given the milliseconds that it may take.
    private func retrying(
        until deadline: ContinuousClock.Instant, _ call: (Int) throws -> Void
    ) throws {
        while true {
            let remaining = max(1, Int((deadline - .now) / .milliseconds(1)))
            do {
                return try call(remaining)
            } catch let error as KafkaError
                where error.isRetryable && !error.isFatal && !error.requiresAbort && .now < deadline
            {
                setTrouble("\(error)")
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
    }

    private func produce(_ delivery: Delivery) throws {
        try delivery.verdicts.visit { key, payload in
            try producer.produce(topic: settings.verdictTopic, key: key, payload: payload)
        }
        for letter in delivery.deadLetters {
            try producer.produce(
                topic: settings.deadLetterTopic, key: nil, payload: letter.payload,
                headers: [
                    KafkaHeader("reason", letter.reason), KafkaHeader("detail", letter.detail),
                    KafkaHeader("source_topic", letter.source.topic),
                    KafkaHeader("source_partition", "\(letter.source.partition)"),
                    KafkaHeader("source_offset", "\(letter.offset)"),
                ])
        }
    }
}

extension Delivery {
    fileprivate var offsets: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.end) }, uniquingKeysWith: max)
    }
}
