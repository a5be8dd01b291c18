import Foundation
import Kafka
import Metrics

// MARK: Reading. Called by the reading thread alone, on which rebalances come too.

extension KafkaTransactionStream {
    /// A reader that finds nothing looks this often whether it is to stop.
    private static let idleMilliseconds = 100

    /// - Throws: `SessionEnded`.
    public func next(_ limits: BatchLimits) throws -> RawRecords? {
        do {
            try settleFailures()
            try recheckStanding()
            if let records = handOut() { return records }
            try resume()
            try poll(
                maximumCount: limits.records, maximumBytes: limits.sizeBytes,
                timeoutMilliseconds: Self.idleMilliseconds, lingerMilliseconds: limits.waitMilliseconds)
            if let records = handOut() {
                setTrouble(nil)
                return records
            }
            // A poll that brings nothing says nothing of the broker's health; an error it has kept would.
            if state.withLock({ $0.trouble }) != nil, consumer.isConnected(timeoutMilliseconds: 200) {
                setTrouble(nil)
            }
            return nil
        } catch {
            guard error.isRetryable, !error.isFatal else { throw error.endingSession }
            setTrouble("\(error)")
            Thread.sleep(forTimeInterval: 0.1)
            // What has failed is tried again; rebalances do not wait for that.
            try heartbeat()
            return nil
        }
    }

    /// Polls with every partition paused, so that the group keeps this member while it may not read on.
    ///
    /// - Throws: `SessionEnded`.
    public func heartbeat() throws {
        do {
            try pause()
            // A partition that has just been assigned is not paused yet: what it brings is held.
            try poll(maximumCount: 1, maximumBytes: .max, timeoutMilliseconds: 0)
        } catch {
            guard error.isRetryable, !error.isFatal else { throw error.endingSession }
            setTrouble("\(error)")
        }
    }

    private func poll(
        maximumCount: Int, maximumBytes: Int, timeoutMilliseconds: Int, lingerMilliseconds: Int? = nil
    ) throws(KafkaError) {
        let messages = try consumer.poll(
            maximumCount: maximumCount, maximumBytes: maximumBytes,
            timeoutMilliseconds: timeoutMilliseconds, lingerMilliseconds: lingerMilliseconds)
        let failures = consumer.takeReadFailures()
        let assignment = assignments.current
        state.withLock { state in
            if !messages.isEmpty {
                state.held.append(Held(content: .messages(messages), assignment: assignment))
            }
            state.failures += failures.map { ($0, assignment) }
        }
    }

    /// What has been held longest. What was read under an assignment that has ended is let go: its partitions are
    /// read again from their committed offsets.
    private func handOut() -> RawRecords? {
        let assignment = assignments.current
        let first = state.withLock { state in
            state.held.removeAll { $0.assignment != assignment }
            return state.held.isEmpty ? nil : state.held.removeFirst()
        }
        switch first?.content {
        case .messages(let messages): return records(messages, assignment: assignment)
        case .unreadable(let failure, let stretch):
            return records(without: stretch, failure, assignment: assignment)
        case nil: return nil
        }
    }

    private func pause() throws(KafkaError) {
        let partitions = consumer.assignment.subtracting(state.withLock { $0.paused })
        guard !partitions.isEmpty else { return }
        // Noted first: a call that fails half way may have paused some of them.
        state.withLock { $0.paused.formUnion(partitions) }
        try consumer.pause(partitions.sorted())
    }

    /// A partition that is not ours now stays noted: should it come back, librdkafka has kept it paused.
    private func resume() throws(KafkaError) {
        let partitions = consumer.assignment.intersection(state.withLock { $0.paused })
        guard !partitions.isEmpty else { return }
        try consumer.resume(partitions.sorted())
        state.withLock { $0.paused.subtract(partitions) }
    }

    private func records(_ messages: KafkaMessages, assignment: UInt64) -> RawRecords {
        let next = messages.nextOffsets
        var payloads: [UnsafeRawBufferPointer] = []
        var offsets: [Int64] = []
        var sliceIndex: [Int32] = []
        var keys: [UnsafeRawBufferPointer] = []
        var times: [Int64] = []
        times.reserveCapacity(messages.count)
        var first = [Int64](repeating: .max, count: messages.partitions.count)
        keys.reserveCapacity(messages.count)
        payloads.reserveCapacity(messages.count)
        offsets.reserveCapacity(messages.count)
        sliceIndex.reserveCapacity(messages.count)
        for index in 0..<messages.count {
            let partition = messages.partitionIndex(index)
            payloads.append(messages.payload(index))
            keys.append(messages.key(index))
            offsets.append(messages.offset(index))
            sliceIndex.append(Int32(partition))
            times.append(messages.timestampMilliseconds(index) ?? .min)
            first[partition] = min(first[partition], messages.offset(index))
        }
        let slices = zip(messages.partitions, first).map { partition, first in
            assignments.advance(partition, first: first, to: next[partition] ?? first)
        }
        return RawRecords(
            payloads: payloads, offsets: offsets, sliceIndex: sliceIndex, slices: slices,
            assignment: assignment, keys: keys, recordMilliseconds: times,
            headers: { messages.headers($0) },
            trace: { index in
                messages.header(
                    TraceContext.parentName, of: index, maximumSize: TraceContext.maximumParentSize
                ).flatMap {
                    TraceContext(
                        parent: $0,
                        state: messages.header(
                            TraceContext.stateName, of: index, maximumSize: TraceContext.maximumStateSize))
                }
            }, owner: messages)
    }

    /// A batch of no records and one dead letter: the stretch that cannot be read.
    private func records(
        without stretch: Range<Int64>, _ failure: KafkaReadFailure, assignment: UInt64
    ) -> RawRecords {
        let (first, end) = (stretch.lowerBound, stretch.upperBound)
        let letter = DeadLetter(
            payload: nil, source: failure.partition, offset: first, endOffset: end,
            reason: "unreadable-batch",
            detail: "the records from offset \(first) to \(end - 1) cannot be read: \(failure.reason)")
        let slice = assignments.advance(failure.partition, first: first, to: end)
        return RawRecords(
            payloads: [], offsets: [], sliceIndex: [], slices: [slice], assignment: assignment, keys: [],
            unreadable: [letter], owner: consumer)
    }
}

// MARK: What cannot be read

extension KafkaTransactionStream {
    /// Deals with what keeps partitions from being read. What fails stays, and is tried again.
    private func settleFailures() throws(KafkaError) {
        while true {
            let assignment = assignments.current
            let next = state.withLock { state in
                state.failures.removeAll { $0.assignment != assignment }
                return state.failures.first
            }
            guard let failure = next?.failure else { return }
            switch failure.kind {
            case .damaged: try skipDamage(failure, assignment)
            case .outOfRange: try findRange(failure, assignment)
            }
            state.withLock { _ = $0.failures.removeFirst() }
        }
    }

    private func skipDamage(_ failure: KafkaReadFailure, _ assignment: UInt64) throws(KafkaError) {
        // What was read before the damage lies in `held`, and is handed out before it: it counts as read here.
        let position = readEnd(of: failure.partition, assignment)
        let stretch = try consumer.stretch(ofDamage: failure, from: position)
        // Not a seek, which librdkafka refuses once reading has stopped. After a wrong checksum it goes on reading 21 bytes
        // before the batch's end, takes what lies there for an offset, and stops at not finding it.
        try consumer.restart(failure.partition, offset: stretch.upperBound)
        logger.error(
            "a batch of records cannot be read: it becomes a dead letter",
            metadata: [
                "partition": "\(failure.partition)", "from": "\(stretch.lowerBound)",
                "to": "\(stretch.upperBound - 1)", "reason": "\(failure.reason)",
            ])
        state.withLock {
            $0.held.append(Held(content: .unreadable(failure, at: stretch), assignment: assignment))
        }
    }

    /// The offset after the last record that was read, handed out or held; nil: nothing was read yet.
    private func readEnd(of partition: TopicPartition, _ assignment: UInt64) -> Int64? {
        let held = state.withLock { state in
            state.held.filter { $0.assignment == assignment }.compactMap { held in
                switch held.content {
                case .messages(let messages): messages.nextOffsets[partition]
                case .unreadable(let failure, let stretch):
                    failure.partition == partition ? stretch.upperBound : nil
                }
            }
        }
        return (held + [assignments.position(of: partition)].compactMap(\.self)).max()
    }

    private func findRange(_ failure: KafkaReadFailure, _ assignment: UInt64) throws(KafkaError) {
        let partition = failure.partition
        // Not the offset that was asked for, where reading stands: behind a damaged batch librdkafka asks for others, and
        // hears of it only after reading was begun anew.
        let offset = readEnd(of: partition, assignment) ?? failure.offset
        let log = try consumer.watermarks(partition, timeoutMilliseconds: 5_000)
        if offset < log.lowerBound {
            try consumer.restart(partition, offset: log.lowerBound)
            assignments.move(partition, to: log.lowerBound)
            Counter(label: "ml_records_lost_total").increment(by: log.lowerBound - offset)
            logger.error(
                "records are gone from the log before they were read: reading goes on at its start",
                metadata: [
                    "partition": "\(partition)", "from": "\(offset)", "to": "\(log.lowerBound - 1)",
                    "records": "\(log.lowerBound - offset) at most",
                ])
        } else if offset <= log.upperBound {
            // It is there now: a leader that had not caught up.
            try consumer.restart(partition, offset: offset)
        } else if settings.beyondEnd == .end {
            try consumer.restart(partition, offset: log.upperBound)
            assignments.move(partition, to: log.upperBound)
            logger.error(
                "the committed offset lies beyond the log's end: reading goes on at its end, as configured",
                metadata: [
                    "partition": "\(partition)", "offset": "\(offset)", "end": "\(log.upperBound)",
                ])
        } else {
            let standing = Standing(offset: offset, end: log.upperBound, assignment: assignment)
            let isNew = state.withLock { state in
                let old = state.standing.updateValue(standing, forKey: partition)
                return old?.assignment != assignment
            }
            if isNew {
                Counter(label: "ml_partitions_beyond_end_total").increment()
                logger.error("a partition stands still", metadata: ["reason": "\(trouble ?? "")"])
            }
        }
    }

    /// Now and then, whether a log has grown to the offset that lay beyond its end.
    private func recheckStanding() throws(KafkaError) {
        let assignment = assignments.current
        let due = state.withLock { state in
            guard !state.standing.isEmpty else { return [(TopicPartition, Standing)]() }
            state.standing = state.standing.filter { $0.value.assignment == assignment }
            return state.standing.filter { .now - $0.value.checked > .seconds(5) }.map { ($0.key, $0.value) }
        }
        for (partition, standing) in due {
            let log = try consumer.watermarks(partition, timeoutMilliseconds: 2_000)
            if standing.offset <= log.upperBound {
                try consumer.restart(partition, offset: standing.offset)
                state.withLock { _ = $0.standing.removeValue(forKey: partition) }
                logger.notice(
                    "the log has grown to the committed offset", metadata: ["partition": "\(partition)"])
            } else {
                state.withLock {
                    $0.standing[partition] = Standing(
                        offset: standing.offset, end: log.upperBound, assignment: assignment)
                }
            }
        }
    }
}
