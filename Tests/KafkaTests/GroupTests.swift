import Kafka
import Testing

@Suite struct GroupTests {
    let zero = TopicPartition(topic: "in", partition: 0)

    /// With ten messages, 0 to 9, in one partition.
    private func filledCluster() throws -> MockKafkaCluster {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        try producer.produce((0..<10).map(String.init), to: "in")
        try producer.flush()
        return cluster
    }

    @Test func aGroupResumesAtItsCommittedOffset() throws {
        let cluster = try filledCluster()

        let first = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        #expect(try first.read(10).count == 10)
        #expect(try first.committed([zero]) == [:])
        try first.commit([zero: 4])
        #expect(try first.committed([zero]) == [zero: 4])
        #expect(try first.position([zero]) == [zero: 10])
        #expect(try first.watermarks(zero) == 0..<10)
        first.close()

        let second = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        #expect(try second.read(6).map(\.payload) == (4..<10).map(String.init))
    }

    /// Each question that its coordinator's absence ended was one whose memory librdkafka used again, by way of the Admin
    /// request that this was, when the coordinator came: the process ended.
    @Test func aGroupsOffsetsCanBeAskedWhileItsCoordinatorIsAway() throws {
        let cluster = try filledCluster()
        let member = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        #expect(try member.read(10).count == 10)
        try member.commit([zero: 4])
        member.close()
        try cluster.setBroker(1, isUp: false)
        let group = try KafkaGroup("g", settings: cluster.settings, logger: quietLogger)
        for _ in 0..<20 {
            #expect(throws: KafkaError.self) {
                try group.committedOffsets(topic: "in", partitions: 1, timeoutMilliseconds: 50)
            }
        }
        try cluster.setBroker(1, isUp: true)
        let deadline = ContinuousClock.now + .seconds(60)
        var found: [Int32: Int64]?
        while found == nil, ContinuousClock.now < deadline {
            found = try? group.committedOffsets(topic: "in", partitions: 1, timeoutMilliseconds: 1_000)
        }
        #expect(found == [0: 4])
        #expect(try group.partitionCount(topic: "in") == 1)
        #expect(try group.ends(topic: "in", partitions: 1) == [0: 10])
    }

    @Test func aSeekReadsAgainFromThere() throws {
        let cluster = try filledCluster()
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        #expect(try consumer.read(5).count == 5)
        try consumer.seek(zero, offset: 2)
        #expect(try consumer.read(8).map(\.offset) == Array(2..<10))
        #expect(throws: KafkaError.self) {
            try consumer.seek(TopicPartition(topic: "in", partition: 7), offset: 0)
        }
    }

    @Test func aPausedPartitionGivesNothingAndLosesNothing() throws {
        let cluster = try filledCluster()
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        #expect(try consumer.read(3).count == 3)
        try consumer.pause([zero])
        #expect(try consumer.poll(maximumCount: 10, timeoutMilliseconds: 300).isEmpty)
        try consumer.resume([zero])
        #expect(try consumer.read(7).map(\.offset) == Array(3..<10))
    }

    @Test func offsetsOfAConsumerThatLeftTheGroupAreRefused() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        try consumer.poll(until: { consumer.assignment == [zero] })
        consumer.close()
        #expect(throws: KafkaError.self) { try consumer.commit([zero: 1]) }
        #expect(throws: KafkaError.self) { try consumer.groupMetadata() }
    }

    @Test(arguments: ["range", "cooperative-sticky"])
    func aSecondConsumerTakesPartitionsAndGivesThemBack(strategy: String) throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 4)])
        let settings = quickGroup(cluster, strategy: strategy)
        let all = Set((0..<4).map { TopicPartition(topic: "in", partition: $0) })
        let (log, secondLog) = (GroupLog(), GroupLog())
        let first = try KafkaConsumer(
            settings: settings, groupID: "g", topics: ["in"], onAssigned: log.onAssigned,
            onRevoked: log.onRevoked,
            logger: quietLogger)
        try first.poll(until: { first.assignment == all })
        #expect(log.events == [.assigned(all)])

        let second = try KafkaConsumer(
            settings: settings, groupID: "g", topics: ["in"], onAssigned: secondLog.onAssigned,
            onRevoked: secondLog.onRevoked, logger: quietLogger)
        let deadline = ContinuousClock.now + .seconds(60)
        while first.assignment.count != 2 || second.assignment.count != 2, ContinuousClock.now < deadline {
            _ = try first.poll(maximumCount: 10, timeoutMilliseconds: 20)
            _ = try second.poll(maximumCount: 10, timeoutMilliseconds: 20)
        }
        #expect(first.assignment.union(second.assignment) == all)
        let taken = strategy == "range" ? all : second.assignment
        #expect(log.events.contains(.revoked(taken, lost: false)))

        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        try producer.produce((0..<100).map(String.init), to: "in")
        try producer.flush()
        var seen: [Received] = []
        while seen.count < 100, ContinuousClock.now < deadline {
            for consumer in [first, second] {
                let batch = try consumer.poll(maximumCount: 100, timeoutMilliseconds: 20)
                #expect(consumer.assignment.isSuperset(of: batch.partitions))
                seen += batch.received()
            }
        }
        #expect(Set(seen.map(\.payload)).count == 100 && seen.count == 100)

        let moved = second.assignment
        second.close()
        #expect(secondLog.events.last == .revoked(moved, lost: false))
        #expect(second.assignment.isEmpty)
        try first.poll(until: { first.assignment == all })
        #expect(first.assignment == all)
    }

    /// The mock lets a rebalance last nearly as long as the session.
    private func quickGroup(_ cluster: MockKafkaCluster, strategy: String) -> KafkaSettings {
        var settings = cluster.settings
        settings.extra = [
            "session.timeout.ms": "6000", "heartbeat.interval.ms": "100",
            "partition.assignment.strategy": strategy,
        ]
        return settings
    }

    @Test(arguments: ["range", "cooperative-sticky"])
    func nothingOfARevokedPartitionIsHandedOutAfterItsCallback(strategy: String) throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 2)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        let payload = [UInt8](repeating: 65, count: 200)
        for number in 0..<5000 { try producer.produce(topic: "in", key: "\(number)", payload: payload) }
        try producer.flush()
        let log = GroupLog()
        let first = try KafkaConsumer(
            settings: quickGroup(cluster, strategy: strategy), groupID: "g", topics: ["in"],
            onAssigned: log.onAssigned,
            onRevoked: log.onRevoked, logger: quietLogger)
        try first.poll(until: { first.assignment.count == 2 })
        // A slow reader with a full queue: the rebalance comes with messages of the moving partition waiting.
        let second = try KafkaConsumer(
            settings: quickGroup(cluster, strategy: strategy), groupID: "g", topics: ["in"],
            logger: quietLogger)
        let deadline = ContinuousClock.now + .seconds(30)
        while first.assignment.count != 1 || second.assignment.count != 1, ContinuousClock.now < deadline {
            let batch = try first.poll(maximumCount: 7, timeoutMilliseconds: 10)
            let revoked = log.events.reduce(into: Set<TopicPartition>()) { set, event in
                switch event {
                case .assigned(let partitions): set.subtract(partitions)
                case .revoked(let partitions, _): set.formUnion(partitions)
                }
            }
            #expect(revoked.isDisjoint(with: batch.partitions))
            _ = try second.poll(maximumCount: 1, timeoutMilliseconds: 10)
        }
        #expect(first.assignment.count == 1 && second.assignment.count == 1)
    }
}
