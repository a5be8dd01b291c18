import CRdKafka
import Logging

/// How to reach a cluster, and how to behave there.
public struct KafkaSettings: Sendable, Hashable {
    /// `host:port`, several separated by commas.
    public var bootstrapServers: String
    /// Names this process in the brokers' logs and quotas.
    public var clientID: String
    /// Any property of librdkafka (`security.protocol`, `sasl.username`, `fetch.max.bytes`, ...). Wins over
    /// this module's defaults, save for the few that its promises rest on: those are refused.
    public var extra: [String: String]

    public init(bootstrapServers: String, clientID: String = "ml-service", extra: [String: String] = [:]) {
        self.bootstrapServers = bootstrapServers
        self.clientID = clientID
        self.extra = extra
    }
}

extension KafkaSettings {
    /// Tries the settings on clients that contact nobody, so that a wrong one ends a start, not a session.
    ///
    /// - Throws: `KafkaError` naming the property that is unknown, has a wrong value, or is set by this module.
    public func check(logger: Logger) throws(KafkaError) {
        _ = try KafkaProducer(settings: self, transactionalID: "check", logger: logger)
        let operation = "consumer"
        _ = try KafkaClient(
            type: RD_KAFKA_CONSUMER,
            properties: properties(
                defaults: Self.consumerDefaults, required: ["group.id": "check"], operation: operation),
            bootstrapServers: bootstrapServers, events: ClientEvents(logger: logger), operation: operation
        ) { _ in }
    }

    /// Everybody's defaults.
    static let commonDefaults: [String: String] = [
        // A broker that comes back is found again within a second, not ten.
        "reconnect.backoff.max.ms": "1000",
        // Idle connections are closed by brokers every ten minutes: not news.
        "log.connection.close": "false",
        "socket.keepalive.enable": "true",
        // A topic that has grown is read whole within seconds; librdkafka's five minutes leave its new partitions
        // unread for as long.
        "topic.metadata.refresh.interval.ms": "10000",
    ]

    /// Reading fast within bounded memory: about `queued.max.messages.kbytes` and one fetch above it.
    static let consumerDefaults: [String: String] = [
        // The caller commits, after its work is done.
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "isolation.level": "read_committed",
        // A damaged batch is noticed, and not read as if it were whole.
        "check.crcs": "true",
        // Eager: in a rebalance every member finishes what it has, gives all up, and goes on when the group
        // has agreed, a second or two later. With cooperative-sticky the others work on meanwhile, but under
        // a generation that may end before they commit: then a transaction must be aborted and done again,
        // and outside of transactions librdkafka takes the refusal (ILLEGAL_GENERATION) for the loss of the
        // whole assignment, and reads twice. Both are served here; all members of a group must agree.
        "partition.assignment.strategy": "range",
        // Prefetched and not yet polled, of all partitions together.
        "queued.max.messages.kbytes": "32768",
        "queued.min.messages": "100000",
        "fetch.max.bytes": "16777216",
        "fetch.message.max.bytes": "2097152",
        // A full queue is looked at again after this time. The default, a second, empties a queue of 32 MiB
        // and waits.
        "fetch.queue.backoff.ms": "5",
        "fetch.wait.max.ms": "100",
        "fetch.error.backoff.ms": "100",
        "enable.partition.eof": "false",
        // Seen by the group within 10 s when a process dies. Longer work than max.poll.interval.ms loses the
        // partitions.
        "session.timeout.ms": "10000",
        "heartbeat.interval.ms": "2000",
        "max.poll.interval.ms": "300000",
    ]

    /// Writing fast, in order, without duplicates, within bounded memory.
    static let producerDefaults: [String: String] = [
        "enable.idempotence": "true",
        "acks": "all",
        "compression.codec": "lz4",
        "linger.ms": "5",
        "batch.size": "1000000",
        "batch.num.messages": "10000",
        "queue.buffering.max.messages": "200000",
        "queue.buffering.max.kbytes": "65536",
        // The partition of a key is the one that Java's clients choose, so that topics line up whoever writes
        // them.
        "partitioner": "murmur2_random",
        // Good news is counted by librdkafka itself; only failures come up.
        "delivery.report.only.error": "true",
    ]

    /// Properties that the module sets itself; a caller who changes them would break what the module
    /// promises.
    private static let reserved: Set<String> = [
        "bootstrap.servers", "metadata.broker.list", "client.id", "group.id", "transactional.id",
        "enable.auto.commit", "enable.auto.offset.store", "delivery.report.only.error", "go.delivery.reports",
        "isolation.level", "auto.offset.reset", "enable.idempotence", "acks", "request.required.acks",
        "enable.partition.eof", "group.protocol",
    ]

    /// - Parameter required: What the module's own arguments say; wins over the defaults.
    func properties(
        defaults: [String: String], required: [String: String], operation: String
    ) throws(KafkaError) -> [KafkaProperty] {
        guard !bootstrapServers.isEmpty else {
            throw KafkaError(invalid: "no bootstrap server is named", operation: operation)
        }
        if let name = extra.keys.sorted().first(where: Self.reserved.contains) {
            throw KafkaError(invalid: "property '\(name)' is set by the service itself", operation: operation)
        }
        var all = Self.commonDefaults
        all.merge(defaults) { $1 }
        all.merge(required) { $1 }
        all["bootstrap.servers"] = bootstrapServers
        all["client.id"] = clientID
        all.merge(extra) { $1 }
        return all.sorted { $0.key < $1.key }.map {
            KafkaProperty(
                name: $0.key, value: $0.value, isOurDefault: extra[$0.key] == nil && required[$0.key] == nil)
        }
    }
}

struct KafkaProperty {
    let name: String
    let value: String
    /// An older librdkafka may lack a property that we only prefer to set; what a person asked for must
    /// exist.
    var isOurDefault = false
}
