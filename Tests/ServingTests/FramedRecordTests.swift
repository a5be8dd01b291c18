import Foundation
import Kafka
import Logging
import Testing
import Transactions

@testable import SchemaRegistry
@testable import Serving

/// Records that Confluent's serialisers wrote, as transactions: the same as their JSON gives.
@Suite struct FramedRecordTests {
    private static func long(_ value: Int64) -> [UInt8] {
        var rest = UInt64(bitPattern: value << 1 ^ value >> 63)
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func text(_ value: String) -> [UInt8] { long(Int64(value.utf8.count)) + Array(value.utf8) }

    private static func double(_ value: Double) -> [UInt8] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }

    private static func framed(_ id: UInt8, _ content: [UInt8]) -> [UInt8] { [0, 0, 0, 0, id] + content }

    /// - Parameter fields: Behind the ids of transaction and user.
    private static func answer(_ fields: String) -> String {
        let schema = """
            {"type":"record","name":"T","fields":[{"name":"transaction_id","type":"string"},
            {"name":"user_id","type":"string"},\(fields)]}
            """
        let quoted = try? JSONEncoder().encode(["schema": schema])
        return String(decoding: quoted ?? Data(), as: UTF8.self)
    }

    private static func registry(_ schemas: [UInt8: String]) -> SchemaRegistry {
        SchemaRegistry(
            place: "http://registry", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            pause: { _ in },
            get: { path throws(SchemaRegistry.NoAnswer) in answer(to: path, schemas) })
    }

    private static func answer(to path: String, _ schemas: [UInt8: String]) -> SchemaRegistry.Answer {
        guard let schema = schemas.first(where: { path == "/schemas/ids/\($0.key)" }) else {
            return .init(status: 404, body: Array(#"{"error_code":40403}"#.utf8))
        }
        return .init(status: 200, body: Array(schema.value.utf8))
    }

    private func records(_ payloads: [[UInt8]]) -> RawRecords {
        let views = payloads.map { payload in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count, alignment: 8)
            memory.copyBytes(from: payload)
            return UnsafeRawBufferPointer(memory)
        }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "t", partition: 0), start: 0, end: Int64(payloads.count))
        return RawRecords(
            payloads: views, offsets: payloads.indices.map { Int64($0) }, sliceIndex: payloads.map { _ in 0 },
            slices: [slice], assignment: 1, owner: Memory(views))
    }

    private final class Memory {
        private let views: [UnsafeRawBufferPointer]
        init(_ views: [UnsafeRawBufferPointer]) { self.views = views }
        deinit { for view in views { view.deallocate() } }
    }

    private func consumed(_ payloads: [[UInt8]], _ schemas: [UInt8: String]) throws -> ConsumedBatch {
        try ConsumeStage(schemas: Self.registry(schemas)).run(records(payloads))
    }

    private static let plain =
        #"{"name":"amount","type":"double"},{"name":"timestamp","type":"long"},{"name":"country","type":["null","string"]}"#

    private static let ids = text("tx-1") + text("user \"ü\"")
    private static let time: Int64 = 1_770_120_000_123

    @Test func avroAndJSONAreOneTransaction() throws {
        let json = Array(
            #"{"country":"NL","transaction_id":"tx-1","user_id":"user \"ü\"","amount":12.1,"timestamp":1770120000123}"#
                .utf8)
        let avro =
            Self.ids + Self.double(12.1) + Self.long(Self.time) + Self.long(1) + Self.text("NL")
        let batch = try consumed(
            [json, Self.framed(1, avro), Self.framed(2, json)],
            [1: Self.answer(Self.plain), 2: #"{"schema":"{}","schemaType":"JSON"}"#])
        try #require(batch.count == 3, "\(batch.deadLetters.map(\.detail))")
        let all = (0..<3).map { batch.transactions.transaction($0) }
        #expect(all == [all[0], all[0], all[0]] && all[0].userID == "user \"ü\"")
        #expect(batch.offsets == [0, 1, 2])
    }

    /// Fields that were added, left out and put elsewhere; those of no transaction are passed over.
    @Test func aNewVersionOfASchemaIsRead() throws {
        let second =
            #"{"name":"extra","type":{"type":"array","items":"string"}},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"amount","type":["null","double"],"default":null}"#
        let first = Self.ids + Self.double(12.1) + Self.long(Self.time) + Self.long(0)
        let next =
            Self.ids + Self.long(2) + Self.text("a") + Self.text("b") + Self.long(0)
            + Self.long(Self.time * 1_000 + 999) + Self.long(1) + Self.double(12.1)
        let batch = try consumed(
            [Self.framed(1, first), Self.framed(2, next)],
            [1: Self.answer(Self.plain), 2: Self.answer(second)])
        try #require(batch.count == 2, "\(batch.deadLetters.map(\.detail))")
        #expect(batch.transactions.transaction(0) == batch.transactions.transaction(1))
    }

    @Test(arguments: [
        (#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, long(2) + [4, 0xD2], 12.34),
        (#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, long(1) + [0xFF], -0.01),
        (
            #"{"type":"fixed","name":"M","size":3,"logicalType":"decimal","precision":9}"#, [0xFF, 0xFF, 0],
            -256
        ),
        (#""string""#, text("12.34"), 12.34), (#""string""#, text("0.1"), 0.1), (#""int""#, long(-7), -7),
        (#""long""#, long(1 << 53), 9_007_199_254_740_992),
        (#""float""#, [0x9A, 0x99, 0x45, 0x41], 12.350000381469727),
    ])
    func anAmountIsExact(type: String, bytes: [UInt8], amount: Double) throws {
        let fields = #"{"name":"amount","type":\#(type)},{"name":"timestamp","type":"long"}"#
        let batch = try consumed(
            [Self.framed(1, Self.ids + bytes + Self.long(Self.time))], [1: Self.answer(fields)])
        #expect(batch.transactions.amount == [amount], "\(batch.deadLetters.map(\.detail))")
    }

    @Test(arguments: [
        ("timestamp-millis", time, time), ("timestamp-micros", time * 1_000 + 1, time),
        ("timestamp-nanos", time * 1_000_000, time), ("none", time / 1_000, time / 1_000 * 1_000),
    ])
    func aTimeHasTheUnitOfItsSchema(type: String, value: Int64, milliseconds: Int64) throws {
        let fields =
            #"{"name":"amount","type":"double"},{"name":"timestamp","type":{"type":"long","logicalType":"\#(type)"}}"#
        let record = Self.ids + Self.double(1)
        let batch = try consumed(
            [Self.framed(1, record + Self.long(value)), Self.framed(1, record + Self.long(17_701_200))],
            [1: Self.answer(fields)])
        #expect(batch.transactions.timestampMilliseconds == [milliseconds])
        // Of another unit it would be a time.
        #expect(batch.deadLetters.map(\.reason) == ["bad-timestamp"])
    }

    @Test(arguments: [
        (plain, ids + double(.nan) + long(time) + long(0), "missing-field"),
        (plain, ids + double(.infinity) + long(time) + long(0), "not-finite"),
        (plain, long(0) + text("u") + double(1) + long(time) + long(0), "text-length"),
        (plain, text("a\u{0}b") + text("u") + double(1) + long(time) + long(0), "embedded-nul"),
        (plain, [2, 0xFF] + text("u") + double(1) + long(time) + long(0), "invalid-utf8"),
        (plain, ids + double(1), "damaged-avro"),
        (plain, ids + double(1) + long(time) + long(0) + [9], "damaged-avro"),
        (#"{"name":"amount","type":"double"}"#, ids + double(1), "missing-field"),
        (#"{"name":"amount","type":"bytes"}"#, ids + long(1) + [1], "wrong-type"),
        (#"{"name":"amount","type":"boolean"}"#, ids + [1], "wrong-type"),
    ])
    func whatIsNoTransactionIsADeadLetter(fields: String, bytes: [UInt8], reason: String) throws {
        let payload = Self.framed(1, bytes)
        let batch = try consumed([payload], [1: Self.answer(fields)])
        #expect(batch.deadLetters.map(\.reason) == [reason], "\(batch.deadLetters.map(\.detail))")
        #expect(batch.deadLetters.map(\.payload) == [payload])
    }

    @Test func schemasThatAreUnknownOrOfNoUseAreNamed() throws {
        let good = Self.ids + Self.double(1) + Self.long(Self.time) + Self.long(0)
        let batch = try consumed(
            [Self.framed(9, good), Self.framed(2, good), Self.framed(1, good), [0], [0, 0, 0, 0, 1]],
            [1: Self.answer(Self.plain), 2: #"{"schema":"\"string\""}"#])
        #expect(
            batch.deadLetters.map(\.reason) == ["unknown-schema", "unusable-schema", "not-json", "not-json"])
        #expect(batch.deadLetters[0].detail.contains("schema 9") && batch.offsets == [2])
    }

    @Test func aRegistryThatIsAwayIsAnErrorThatPasses() throws {
        let registry = SchemaRegistry(
            place: "http://registry", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ throws(SchemaRegistry.NoAnswer) in throw SchemaRegistry.NoAnswer(reason: "away") }
        let stage = ConsumeStage(schemas: registry)
        let error = #expect(throws: SchemaRegistryError.self) {
            try stage.run(records([Self.framed(1, [1])]))
        }
        #expect(error?.isRetryable == true)
        // What is not framed needs no registry.
        #expect(try stage.run(records([Array("{}".utf8)])).deadLetters.count == 1)
    }

    @Test(
        arguments: [
            ([], 2, "0.00"), ([0], 0, "0"), ([0x80], 0, "-128"), ([0xFF, 0x00], 0, "-256"),
            ([0x7F], 3, "0.127"),
            ([0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], 4, "1844674407370955.1616"),
            ([0xFF, 0xFF, 0xFF, 0xFE], 0, "-2"), ([0x00, 0x3B, 0x9A, 0xCA, 0x00], 0, "1000000000"),
            ([1] + [UInt8](repeating: 0, count: 128), 0, "1e999"),
        ] as [([UInt8], Int, String)])
    func decimalsAreExact(bytes: [UInt8], scale: Int, text: String) {
        bytes.withUnsafeBufferPointer { #expect(DecimalText.text(unscaled: $0, scale: scale) == text) }
    }
}
