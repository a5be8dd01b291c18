import Kafka
import Logging
import Synchronization
import Testing

let quietLogger: Logger = {
    var logger = Logger(label: "kafka.tests")
    logger.logLevel = .critical
    return logger
}()

/// Bytes of one message, copied out of the batch.
struct Received: Equatable {
    var key: String
    var payload: String
    var offset: Int64
    var partition: TopicPartition
}

extension KafkaMessages {
    func received() -> [Received] {
        (0..<count).map { index in
            Received(
                key: String(decoding: key(index), as: UTF8.self),
                payload: String(decoding: payload(index), as: UTF8.self),
                offset: offset(index), partition: topicPartition(index))
        }
    }
}

extension KafkaConsumer {
    /// Polls until `count` messages came or the time is up.
    func read(_ count: Int, seconds: Int = 30) throws -> [Received] {
        var received: [Received] = []
        let deadline = ContinuousClock.now + .seconds(seconds)
        while received.count < count, ContinuousClock.now < deadline {
            received += try poll(maximumCount: count - received.count, timeoutMilliseconds: 100).received()
        }
        return received
    }

    /// Polls without expecting messages until the condition holds.
    func poll(until isDone: () -> Bool, seconds: Int = 30) throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !isDone(), ContinuousClock.now < deadline {
            _ = try poll(maximumCount: 100, timeoutMilliseconds: 20)
        }
    }
}

extension KafkaProducer {
    func produce(_ payloads: [String], to topic: String, key: String? = nil) throws {
        for payload in payloads {
            try produce(topic: topic, key: key ?? payload, payload: Array(payload.utf8))
        }
    }
}

/// What a consumer's group did to it, in order.
final class GroupLog: Sendable {
    enum Event: Equatable {
        case assigned(Set<TopicPartition>)
        case revoked(Set<TopicPartition>, lost: Bool)
    }
    private let state = Mutex<[Event]>([])
    var events: [Event] { state.withLock { $0 } }

    var onAssigned: @Sendable (KafkaAssignment) -> Void {
        { given in self.state.withLock { $0.append(.assigned(Set(given.partitions))) } }
    }
    var onRevoked: @Sendable ([TopicPartition], Bool) -> Void {
        { partitions, lost in self.state.withLock { $0.append(.revoked(Set(partitions), lost: lost)) } }
    }
}
