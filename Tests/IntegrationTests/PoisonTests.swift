import Foundation
import Kafka
import KafkaProxy
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

    @Test func aTransactionThatTheBrokerRefusesAsTooLargeIsDoneAgainInTheSameSession() throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill(["1", String(repeating: "x", count: 50_000), "2"])
        scene.proxy.refuseBatches(above: 20_000)
        let worker = Worker(scene, "a")
        try worker.work { worker.delivered.count == 3 }
        #expect(worker.sessions == 1)
        try scene.fill(["3"])
        try worker.work { worker.delivered.count == 4 }
        worker.close()
        #expect(worker.sessions == 1)
    }

    @Test func aBatchOfUnknownCompressionBecomesADeadLetterAndReadingGoesOnBehindIt() throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill(["0", "1"])
        try scene.fill((2..<9).map { "POISON\($0)" })
        try scene.fill(["9", "10"])
        scene.proxy.damageBatches(with: "POISON", .compression)
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
}
