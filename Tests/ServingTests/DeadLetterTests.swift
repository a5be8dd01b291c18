import Foundation
import Kafka
import Testing

@testable import Serving

@Suite struct DeadLetterTests {
    private func letter(_ payload: [UInt8]?, key: [UInt8]? = nil, headers: [KafkaHeader] = []) -> DeadLetter {
        DeadLetter(
            payload: payload, key: key, headers: headers, source: TopicPartition(topic: "t", partition: 3),
            offset: 7, reason: "not-json", detail: "no object")
    }

    @Test func anExcerptIsSmallWhateverCame() {
        let headers = (0..<1_000).map { KafkaHeader("header\($0)", String(repeating: "v", count: 100)) }
        let large = [UInt8](repeating: 1, count: 3_000_000)
        let excerpt = letter(large, key: large, headers: headers).excerpt
        let size =
            (excerpt.payload?.count ?? 0) + (excerpt.key?.count ?? 0)
            + excerpt.headers.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
        #expect(size < 4_096)
        #expect(excerpt.payload?.count == 1_024 && excerpt.key == nil)
        let names = excerpt.headers.map(\.name)
        #expect(names.contains("__ml_service.payload.sha256") && names.contains("__ml_service.key.sha256"))
        #expect(names.contains("__ml_service.headers.dropped"))
        #expect(names.contains("__connect.errors.offset"))
    }

    @Test func digestAndLengthAreThoseOfTheWhole() {
        let headers = letter(Array("abc".utf8)).excerpt.headers
        let digest = headers.first { $0.name == "__ml_service.payload.sha256" }?.value
        // FIPS 180-4's example.
        #expect(
            digest.map { String(decoding: $0, as: UTF8.self) }
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test(arguments: [Array("text \"quoted\"".utf8), [0xFF, 0x00, 0x80], nil] as [[UInt8]?])
    func aLineKeepsThePayload(payload: [UInt8]?) throws {
        let line = letter(payload).jsonLine
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
        #expect(object["topic"] as? String == "t" && object["offset"] as? Int == 7)
        #expect(object["reason"] as? String == "not-json" && object["detail"] as? String == "no object")
        let text = (object["payload"] as? String).map { Array($0.utf8) }
        let encoded = (object["payload_base64"] as? String).flatMap { Data(base64Encoded: $0) }.map {
            [UInt8]($0)
        }
        #expect((text ?? encoded) == payload)
    }

    @Test func aLongLineIsKeptAsItsFirstBytes() throws {
        let line = letter([UInt8](repeating: 65, count: 2 << 20)).jsonLine
        #expect(line.count < 4_096)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
        #expect(object["length"] as? Int == 2 << 20)
        #expect((object["sha256"] as? String)?.count == 64)
    }
}
