import DetectorAPI
import Foundation
import Kafka
import KafkaProxy
import ObjectStore
import Outcomes
import Serving
import Testing

/// Records that can never succeed: each becomes a dead letter, and the stream goes on behind it.
@Suite struct PoisonTests {
    private static let good = #"{"transaction_id":"t","user_id":"u","amount":1,"timestamp":1772366400000}"#

    private static func text(_ letter: StreamScene.Record, _ header: String) -> String? {
        letter.headers.first { $0.name == header }?.value.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func aDeadLetterKeepsItsMessageAndSaysWhereItCameFrom() throws {
        let scene = try StreamScene(partitions: 1)
        let headers = [KafkaHeader("trace", "abc"), KafkaHeader(name: "none", value: nil)]
        try scene.fill([
            .init(key: Array("u".utf8), payload: Array("garbage".utf8), headers: headers),
            .init(key: nil, payload: nil), .init(key: [], payload: []),
            .init(key: Array("u".utf8), payload: Array(Self.good.utf8)),
        ])
        let worker = Worker(scene, "a")
        worker.parses = true
        try worker.work { worker.delivered == [Self.good] }
        worker.close()
        let letters = try scene.deadLetters(count: 3)
        try #require(letters.count == 3)
        #expect(letters[0].key == Array("u".utf8) && letters[0].payload == Array("garbage".utf8))
        #expect(Array(letters[0].headers.prefix(2)) == headers)
        #expect(Self.text(letters[0], "__connect.errors.topic") == scene.topic)
        #expect(Self.text(letters[0], "__connect.errors.partition") == "0")
        #expect(Self.text(letters[0], "__connect.errors.offset") == "0")
        #expect(Self.text(letters[0], "__connect.errors.exception.class.name") == "not-json")
        #expect(Self.text(letters[0], "__connect.errors.exception.message")?.isEmpty == false)
        #expect(letters[1].key == nil && letters[1].payload == nil)
        #expect(letters[2].key == [] && letters[2].payload == [])
        #expect(Self.text(letters[2], "__connect.errors.offset") == "2")
    }

    /// With its headers the dead letter is larger than the producer may send.
    @Test func aRecordAsLargeAsAMessageMayBeIsKeptAsAnExcerpt() throws {
        let scene = try StreamScene(partitions: 1)
        let garbage = (0..<999_850).map { UInt8(truncatingIfNeeded: $0) }
        try scene.fill([
            .init(key: Array("key".utf8), payload: garbage),
            .init(key: Array("u".utf8), payload: Array(Self.good.utf8)),
        ])
        let worker = Worker(scene, "a")
        worker.parses = true
        try worker.work { worker.delivered == [Self.good] }
        worker.close()
        let letter = try #require(try scene.deadLetters(count: 1).first)
        #expect(letter.key == Array("key".utf8))
        #expect(letter.payload == Array(garbage.prefix(1_024)))
        #expect(Self.text(letter, "__ml_service.payload.length") == "999850")
        #expect(Self.text(letter, "__ml_service.payload.sha256")?.count == 64)
        #expect(Self.text(letter, "__connect.errors.offset") == "0")
    }

    /// A topic that takes less than the producer sends: the refusal comes late, and names no message.
    @Test(arguments: KafkaTransactionStream.DeliveryGuarantee.allCases)
    func aVerdictThatTheBrokerRefusesAsTooLargeIsKeptAsAnExcerpt(
        guarantee: KafkaTransactionStream.DeliveryGuarantee
    ) throws {
        let scene = try StreamScene(partitions: 1)
        // Several records: those that are not too large must not be lost with the one that is.
        try scene.fill(["1", Self.incompressible, "2"])
        scene.proxy.refuseBatches(above: 20_000)
        let worker = Worker(scene, "a", guarantee: guarantee)
        try worker.work { worker.delivered.count == 3 }
        try scene.fill(["3"])
        try worker.work { worker.delivered.count == 4 }
        worker.close()
        #expect(worker.sessions == 1)
        #expect(scene.proxy.refusedBatches == 2, "the batch of three, and the large one alone")
        let verdicts = try scene.verdicts(count: 3)
        switch guarantee {
        case .exactlyOnce: #expect(verdicts == ["1", "2", "3"])
        // What came before the large one is sent with each attempt.
        case .atLeastOnce: #expect(Set(verdicts) == ["1", "2", "3"])
        }
        let letters = try scene.deadLetters(count: 1)
        #expect(letters.count == 1)
        let letter = try #require(letters.first)
        #expect(Self.text(letter, "__connect.errors.exception.class.name") == "verdict-too-large")
        #expect(Self.text(letter, "__connect.errors.offset") == "1")
        #expect(Self.text(letter, "__ml_service.payload.length") == "50000")
        #expect(letter.payload == Array(Self.incompressible.utf8.prefix(1_024)))
    }

    /// As large on the wire as it is here: a broker measures what has been compressed.
    private static let incompressible: String = {
        var random = SeededGenerator(seed: 9)
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        return String(decoding: (0..<50_000).map { _ in letters[Int(random.next() & 63)] }, as: UTF8.self)
    }()

    @Test(arguments: BatchDamage.allCases)
    func aDamagedBatchBecomesADeadLetterAndReadingGoesOnBehindIt(damage: BatchDamage) throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill(["0", "1"])
        try scene.fill((2..<9).map { "POISON\($0)" })
        try scene.fill(["9", "10"])
        scene.proxy.damageBatches(with: "POISON", damage)
        // Behind a wrong checksum librdkafka reads on at a place that is no batch's beginning, and asks for an offset
        // that does not exist. That it hears so before the worker has found the damage's end is the worse order.
        scene.proxy.onAnswer {
            if $0.call == .listOffsets { usleep(1_000_000) }
            return .pass
        }
        let worker = Worker(scene, "a")
        try worker.work { worker.delivered == ["0", "1", "9", "10"] }
        worker.close()
        let letters = try scene.deadLetters(count: 1)
        #expect(letters.count == 1)
        let letter = try #require(letters.first)
        #expect(letter.payload == nil)
        #expect(Self.text(letter, "__connect.errors.exception.class.name") == "unreadable-batch")
        #expect(Self.text(letter, "__connect.errors.offset") == "2")
        #expect(Self.text(letter, "__ml_service.offset.end") == "9")
        // What is committed is not read again.
        let next = Worker(scene, "a")
        try scene.fill(["11"])
        try next.work { next.delivered == ["11"] }
        next.close()
    }

    @Test func whatIsNoLabelDoesNotKeepTheLabelsBehindItFromBeingRead() throws {
        let scene = try StreamScene(partitions: 1)
        // With its headers it is larger than the producer may send.
        try scene.fill([.init(key: nil, payload: (0..<999_850).map { UInt8(truncatingIfNeeded: $0) })])
        try scene.fill(["POISON"])
        let label = #"{"transaction_id":"t","label":"fraud","known_at":"2026-01-01T00:00:00Z"}"#
        try scene.fill([.init(key: nil, payload: Array(label.utf8))])
        scene.proxy.damageBatches(with: "POISON", .checksum)
        let lake = FileManager.default.temporaryDirectory.appending(path: "labels-\(scene.run)")
        let worker = LabelWorker(
            .init(
                kafka: scene.settings, group: scene.name("group"), topic: scene.topic,
                deadLetterTopic: scene.name("dlq")),
            book: LabelBook(lake: DirectoryObjectStore(root: lake.path)), logger: scene.logger)
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            worker.run()
            ended.signal()
        }
        let files = lake.appending(path: "labels").path
        let deadline = ContinuousClock.now + .seconds(120)
        while !FileManager.default.fileExists(atPath: files), ContinuousClock.now < deadline {
            usleep(50_000)
        }
        #expect(FileManager.default.fileExists(atPath: files), "the label is in the lake")
        worker.stop()
        ended.wait()
        let letters = try scene.deadLetters(count: 2)
        try #require(letters.count == 2)
        #expect(Self.text(letters[0], "__ml_service.payload.length") == "999850")
        #expect(Self.text(letters[1], "__connect.errors.exception.class.name") == "unreadable-batch")
        #expect(Self.text(letters[1], "__connect.errors.offset") == "1")
    }
}
