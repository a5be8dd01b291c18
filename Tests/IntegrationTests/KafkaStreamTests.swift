import Foundation
import Kafka
import KafkaProxy
import Logging
import Serving
import Testing

/// The Kafka stream behind a proxy that does to it what brokers, networks and other members do.
@Suite struct KafkaStreamTests {
    /// An idle worker, a broker that is restarted, a record: librdkafka's call for the offsets never returns.
    @Test func anIdleWorkerGoesOnAfterTheBrokerWasRestarted() throws {
        let scene = try StreamScene(partitions: 1)
        let worker = Worker(scene, "a")
        try worker.work { worker.isAssigned }
        try scene.fill(["1"])
        try worker.work { worker.delivered == ["1"] }
        scene.proxy.goAway()
        Thread.sleep(forTimeInterval: 1)
        try scene.proxy.comeBack()
        try scene.fill(["2", "3"])
        try worker.work { worker.delivered == ["1", "2", "3"] }
        worker.close()
        #expect(try scene.verdicts(count: 3) == ["1", "2", "3"])
    }

    /// The coordinator answers nothing more: the delivery fails within its time, and a new session goes on.
    @Test func aDeliveryWithoutAnAnswerEndsItsSession() throws {
        let scene = try StreamScene(partitions: 1)
        let worker = Worker(scene, "a")
        try worker.work { worker.isAssigned }
        scene.proxy.onRequest { $0.call == .transactionOffsetCommit ? .hold : .pass }
        try scene.fill(["1"])
        try worker.work { worker.sessions == 2 }
        scene.proxy.release()
        try worker.work { worker.delivered == ["1"] }
        worker.close()
        #expect(try scene.verdicts(count: 1) == ["1"])
    }

    @Test func aPartitionThatComesBackPausedIsReadAgain() throws {
        let scene = try StreamScene(partitions: 2)
        let (first, second) = (Worker(scene, "a"), Worker(scene, "b"))
        try first.work { first.isAssigned }
        // As when the windows are slow: polls go on, nothing is read.
        try first.stream.heartbeat()
        try first.stream.heartbeat()
        try work(first, second, pausing: true) { second.isAssigned }
        second.close()
        try scene.fill((0..<40).map(String.init))
        try first.work { Set(first.delivered).count == 40 }
        first.close()
        #expect(try scene.verdicts(count: 40).count == 40)
    }

    @Test func aBatchReadBeforeARebalanceIsNotDelivered() throws {
        let scene = try StreamScene(partitions: 2)
        let (first, second) = (Worker(scene, "a"), Worker(scene, "b"))
        try first.work { first.isAssigned }
        try scene.fill((0..<20).map(String.init))
        let records = try #require(try first.read())
        // The group has a new generation, and the first knows of it.
        try work(first, second, pausing: true) { second.isAssigned }
        let refusal = #expect(throws: DeliveryError.self) { try first.deliver(records) }
        guard case .assignmentEnded = refusal else {
            Issue.record("\(String(describing: refusal))")
            return
        }
        try work(first, second) { first.delivered.count + second.delivered.count == 20 }
        first.close()
        second.close()
        #expect(try scene.verdicts(count: 20).sorted() == (0..<20).map(String.init).sorted())
    }

    /// The rebalance is through before the worker hears of it: only the broker can tell, by the generation that
    /// the batch was read under.
    @Test func offsetsOfAnOlderGenerationAreRefused() throws {
        let scene = try StreamScene(partitions: 2)
        let metadata = MetadataLog()
        let consumer = try scene.consumer(onAssigned: { metadata.append($0.group) })
        while metadata.all.isEmpty { _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 50) }
        let other = try scene.consumer()
        while metadata.all.count < 2 {
            _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 20)
            _ = try other.poll(maximumCount: 1, timeoutMilliseconds: 20)
        }
        let producer = try KafkaProducer(
            settings: scene.settings, transactionalID: scene.name("producer"), logger: scene.logger)
        try producer.initTransactions()
        let offsets = [TopicPartition(topic: scene.topic, partition: 0): Int64(0)]
        try producer.begin()
        let refused = #expect(throws: KafkaError.self) {
            try producer.send(offsets: offsets, group: metadata.all[0])
        }
        #expect(refused?.isGenerationChange == true && refused?.requiresAbort == true)
        try producer.abort()
        try producer.begin()
        try producer.send(offsets: offsets, group: metadata.all[1])
        try producer.commit()
        #expect(scene.proxy.duties.refusals == 1)
    }

    /// The committed offsets, which say where a batch begins, are not to be had for longer than the call waits.
    @Test func recordsAreNotLostWhileTheCommittedOffsetIsNotToBeHad() throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill((0..<200).map(String.init))
        let worker = Worker(scene, "a")
        scene.proxy.onAnswer { $0.call == .offsetFetch ? .hold : .pass }
        let troubled = ContinuousClock.now + .seconds(60)
        let stream = try worker.stream
        while stream.trouble == nil, .now < troubled { _ = try stream.next(BatchLimits()) }
        #expect(stream.trouble != nil)
        scene.proxy.release()
        try worker.work { worker.delivered.count == 200 }
        worker.close()
        #expect(try scene.verdicts(count: 200) == (0..<200).map(String.init))
    }

    /// What a poll for the membership's sake brings, of a partition that has just come, is handed out later.
    @Test func aRecordThatAHeartbeatReadIsNotLost() throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill((0..<10).map(String.init))
        let worker = Worker(scene, "a")
        let deadline = ContinuousClock.now + .seconds(60)
        while try !worker.stream.hasPartitions, .now < deadline { try worker.stream.heartbeat() }
        for _ in 0..<100 { try worker.stream.heartbeat() }
        try worker.work { worker.delivered.count == 10 }
        worker.close()
        #expect(worker.delivered == (0..<10).map(String.init))
    }

    /// A worker that is told to end gives its partitions away; nobody waits for its session to be over.
    @Test(arguments: KafkaTransactionStream.DeliveryGuarantee.allCases)
    func aWorkerThatIsToldToEndHandsItsPartitionsOver(
        guarantee: KafkaTransactionStream.DeliveryGuarantee
    ) throws {
        // Longer than this test waits for anything.
        let scene = try StreamScene(partitions: 2, properties: ["session.timeout.ms": "300000"])
        let first = Worker(scene, "a", guarantee: guarantee)
        let second = Worker(scene, "b", guarantee: guarantee)
        try first.work { first.isAssigned }
        try work(first, second, pausing: true) { second.isAssigned }
        second.leave()
        try scene.fill((0..<20).map(String.init))
        try first.work { first.delivered.count == 20 }
        first.leave()
        #expect(scene.proxy.duties.removedMembers == 0)
        #expect(try scene.verdicts(count: 20).sorted() == (0..<20).map(String.init).sorted())
    }

    /// A worker that is killed in a delivery leaves a transaction open, which holds its partitions' offsets back from the
    /// next owner. The broker ends it soon after the time that a delivery may take.
    @Test func theTransactionOfAKilledWorkerDoesNotOutliveItForLong() throws {
        let scene = try StreamScene(partitions: 1, properties: ["session.timeout.ms": "6000"])
        try scene.fill(["1"])
        let (killed, next) = (Worker(scene, "a"), Worker(scene, "b"))
        // Its offsets are in the transaction when its connections end.
        killed.writeWindows = {
            scene.proxy.onRequest { $0.clientID == "a" ? .lose : .pass }
        }
        try killed.work { killed.lastError != nil }
        try next.work { next.delivered == ["1"] }
        next.leave()
        #expect(scene.proxy.duties.abortedTransactions == 1)
        #expect(scene.proxy.duties.transactionTimeouts.allSatisfy { $0 <= .seconds(15) })
        #expect(scene.proxy.duties.transactionTimeouts.count == 2)
        #expect(try scene.verdicts(count: 1) == ["1"])
    }

    /// It sleeps through losing its partitions, while another one reads them on: windows written now would be set back.
    @Test(arguments: KafkaTransactionStream.DeliveryGuarantee.allCases)
    func aWorkerThatHasSleptThroughLosingItsPartitionsWritesNoWindows(
        guarantee: KafkaTransactionStream.DeliveryGuarantee
    ) throws {
        let scene = try StreamScene(partitions: 1, properties: ["session.timeout.ms": "6000"])
        try scene.fill(["1"])
        let sleeper = Worker(scene, "a", guarantee: guarantee)
        let other = Worker(scene, "b", guarantee: guarantee)
        let records = try #require(try sleeper.read())
        scene.proxy.onRequest { $0.clientID == "a" ? .hold : .pass }
        try other.work { other.delivered == ["1"] }
        try scene.fill(["2"])
        try other.work { other.delivered == ["1", "2"] }
        scene.proxy.release()
        let writes = WriteCount()
        sleeper.writeWindows = { writes.count() }
        // The rebalance that tells it comes with a poll, and it does not poll.
        #expect(throws: (any Error).self) { try sleeper.deliver(records) }
        #expect(writes.number == 0)
        sleeper.leave()
        other.leave()
    }

    /// A topic that has grown is read whole without a restart.
    @Test func newPartitionsAreRead() throws {
        let scene = try StreamScene(partitions: 1)
        let worker = Worker(scene, "a")
        try worker.work { worker.isAssigned }
        try KafkaAdmin(settings: try scene.direct, logger: scene.logger).growTopic(
            scene.topic, toPartitions: 4)
        try scene.fill((0..<40).map(String.init))
        try worker.work { worker.delivered.count == 40 }
        worker.close()
    }

    /// Works on two streams in turn.
    private func work(
        _ first: Worker, _ second: Worker, pausing: Bool = false, until isDone: () -> Bool
    ) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !isDone(), .now < deadline {
            if pausing { try first.stream.heartbeat() } else { try first.step() }
            try second.step()
        }
        #expect(isDone())
    }
}

/// How often windows were written.
private final class WriteCount {
    private(set) var number = 0

    func count() { number += 1 }
}
