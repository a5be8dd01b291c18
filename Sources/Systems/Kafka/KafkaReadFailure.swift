import CRdKafka
import Logging

/// What keeps a partition from being read on.
public struct KafkaReadFailure: Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// A batch of records whose checksum is wrong, or whose compression is unknown or broken.
        case damaged
        /// The offset is not in the log: before its start, or beyond its end.
        case outOfRange

        init?(_ code: rd_kafka_resp_err_t) {
            switch code {
            case RD_KAFKA_RESP_ERR__BAD_MSG, RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
                RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
                self = .damaged
            case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: self = .outOfRange
            default: return nil
            }
        }
    }

    public let kind: Kind
    public let partition: TopicPartition
    /// Of a damaged batch's first record, if the damage has left it right; or the one that was asked for.
    public let offset: Int64
    public let reason: String

    public var description: String { "\(partition) cannot be read at offset \(offset): \(reason)" }
}

/// Finds where a damaged batch of records ends, by trying to read behind it.
///
/// The batch's own header would tell, but librdkafka does not give it. A fetch at any offset of a batch brings all of
/// it, so that the first offset that does not bring it is found by doubling and halving: about twice the logarithm
/// of the batch's count. A client of its own, in no group, does it.
struct DamagedBatchProbe {
    private enum Finding { case damaged, readable, silent }

    private let client: KafkaClient
    private let queue: KafkaQueue

    init(settings: KafkaSettings, groupID: String, logger: Logger) throws(KafkaError) {
        let operation = "looking behind a damaged batch"
        client = try KafkaClient(
            type: RD_KAFKA_CONSUMER,
            properties: settings.properties(
                defaults: KafkaSettings.consumerDefaults,
                // Uncommitted records and the log's end are answers too.
                required: [
                    "group.id": groupID, "auto.offset.reset": "error", "enable.partition.eof": "true",
                    "isolation.level": "read_uncommitted", "fetch.error.backoff.ms": "0",
                ], operation: operation),
            bootstrapServers: settings.bootstrapServers, events: ClientEvents(logger: logger),
            operation: operation
        ) { _ in }
        _ = rd_kafka_poll_set_consumer(client.pointer)
        guard let queue = KafkaQueue(rd_kafka_queue_get_consumer(client.pointer), of: client) else {
            throw KafkaError(invalid: "librdkafka gave no consumer queue", operation: operation)
        }
        self.queue = queue
    }

    /// - Parameters:
    ///   - first: The first offset that cannot be read.
    ///   - end: The log's end.
    /// - Returns: The offset after the batch's last, at least `first + 1`.
    func end(of failure: KafkaReadFailure, first: Int64, end: Int64) throws(KafkaError) -> Int64 {
        var damaged = first
        var other = max(end, first + 1)
        var step: Int64 = 1
        while damaged + step < other, try finding(failure, at: damaged + step, first: first) == .damaged {
            damaged += step
            step *= 2
        }
        other = min(other, damaged + step)
        while other - damaged > 1 {
            let middle = damaged + (other - damaged) / 2
            if try finding(failure, at: middle, first: first) == .damaged {
                damaged = middle
            } else {
                other = middle
            }
        }
        return other
    }

    /// Whether reading at an offset meets the same batch.
    private func finding(
        _ failure: KafkaReadFailure, at offset: Int64, first: Int64
    ) throws(KafkaError) -> Finding {
        let partition = failure.partition
        let list = PartitionList(offsets: [partition: offset])
        let code = rd_kafka_assign(client.pointer, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, "reading \(partition)") }
        defer { _ = rd_kafka_assign(client.pointer, nil) }
        let deadline = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < deadline {
            guard let message = rd_kafka_consumer_poll(client.pointer, 200) else { continue }
            defer { rd_kafka_message_destroy(message) }
            switch message.pointee.err {
            case RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR__PARTITION_EOF: return .readable
            case let code where KafkaReadFailure.Kind(code) == .damaged:
                let met = message.pointee.offset
                return met <= first || met == failure.offset ? .damaged : .readable
            case let code where KafkaReadFailure.Kind(code) == .outOfRange: return .readable
            default: continue
            }
        }
        // Neither a record nor an error: what cannot be told apart is not skipped further than it must be.
        return .silent
    }
}

extension KafkaConsumer {
    /// The offsets that a damaged batch keeps from being read, at least one.
    ///
    /// - Parameter position: Where reading stands, if anything was read. The batch's own first offset counts only where
    ///   it can be right: a checksum does not cover it.
    /// - Throws: `KafkaError`, when the log's end is not to be had.
    public func stretch(
        ofDamage failure: KafkaReadFailure, from position: Int64?
    ) throws(KafkaError) -> Range<Int64> {
        let log = try watermarks(failure.partition, timeoutMilliseconds: 5_000)
        let position = position ?? log.lowerBound
        let isBelievable = failure.offset >= position && failure.offset < log.upperBound
        let first = isBelievable ? failure.offset : position
        let probe = try DamagedBatchProbe(
            settings: settings, groupID: groupID, logger: client.events.logger)
        return first..<(try probe.end(of: failure, first: first, end: log.upperBound))
    }
}
