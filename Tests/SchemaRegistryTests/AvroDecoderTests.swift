import DetectorAPI
import Testing
import Torture

@testable import SchemaRegistry

/// Avro records, sound and damaged. Bytes are written here by the specification, not by what reads them.
@Suite struct AvroDecoderTests {
    /// Zigzag and seven bits a byte.
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

    private static func read(_ bytes: [UInt8], _ schema: AvroSchema) throws -> [String] {
        let decoder = AvroDecoder()
        try bytes.withUnsafeBytes { try decoder.read($0, schema) }
        return schema.fields.indices.map { index in
            let (value, branch) = decoder[index]
            return switch value {
            case .null: "null"
            case .boolean(let value): "\(value)"
            case .integer(let value): "\(value)"
            case .real(let value): "\(value)"
            case .text(let text): "'\(String(decoding: text, as: UTF8.self))' \(branch)"
            case .bytes(let bytes): "\(Array(bytes))"
            case .nested: "nested"
            }
        }
    }

    private static let everything = """
        {"type": "record", "name": "T", "namespace": "bank.cards", "fields": [
         {"name": "id", "type": "string"}, {"name": "user", "type": ["null", "string"], "default": null},
         {"name": "count", "type": "long"}, {"name": "small", "type": "int"}, {"name": "share", "type": "double"},
         {"name": "flag", "type": "boolean"},
         {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
         {"name": "amount", "type": {"type": "fixed", "name": "Money", "size": 4, "logicalType": "decimal",
          "precision": 9, "scale": 2}},
         {"name": "fee", "type": ["null", "Money"]},
         {"name": "raw", "type": "bytes"},
         {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
         {"name": "tags", "type": {"type": "array", "items": {"type": "map", "values": ["null", "string"]}}},
         {"name": "next", "type": ["null", "T"]}, {"name": "last", "type": "string"}]}
        """

    /// - Parameter next: The record of its own kind inside.
    private static func record(next: [UInt8] = long(0)) -> [UInt8] {
        let start = text("tx") + long(1) + text("ü") + long(-3) + long(Int64(Int32.max))
        let share: [UInt8] = [0, 0, 0, 0, 0, 0, 0xF8, 0x3F]
        let middle = share + [1] + long(1) + [0, 0, 4, 0xD2] + long(1) + [0xFF, 0xFF, 0xFF, 0xFF]
        // One block that says its size, of one map with two entries.
        let map = long(2) + text("a") + long(0) + text("b") + long(1) + text("x") + long(0)
        let tags = long(-1) + long(Int64(map.count)) + map + long(0)
        return start + middle + long(2) + [7, 8] + long(1_770_120_000_000) + tags + next + text("end")
    }

    @Test func everyTypeIsRead() throws {
        let schema = try AvroSchema(json: Self.everything)
        let expected = [
            "'tx' 0", "'ü' 1", "-3", "2147483647", "1.5", "true", "'B' 0", "[0, 0, 4, 210]",
            "[255, 255, 255, 255]", "[7, 8]", "1770120000000", "nested", "null", "'end' 0",
        ]
        #expect(try Self.read(Self.record(), schema) == expected)
        let inside = try Self.read(Self.record(next: Self.long(1) + Self.record()), schema)
        #expect(inside[12] == "nested" && inside[13] == "'end' 0")
        let meanings = Dictionary(uniqueKeysWithValues: schema.fields.map { ($0.name, $0.meanings) })
        #expect(meanings["amount"] == [.decimal(scale: 2)])
        #expect(meanings["fee"] == [.plain, .decimal(scale: 2)])
        #expect(meanings["time"] == [.timestamp(perSecond: 1_000, isLocal: false)])
        #expect(meanings["id"] == [.plain])
    }

    @Test func whatIsCutOrLongerIsDamaged() throws {
        let schema = try AvroSchema(json: Self.everything)
        let whole = Self.record()
        for length in whole.indices {
            #expect(throws: AvroFault.damaged) { try Self.read(Array(whole.prefix(length)), schema) }
        }
        #expect(throws: AvroFault.tooLong) { try Self.read(whole + [0], schema) }
    }

    /// A length is asked for memory before its bytes are looked for.
    @Test(arguments: [Int64.max, Int64.min, -1, -2, 1 << 40, 1 << 31, 1 << 20])
    func aLengthThatIsNotThereTakesNoMemory(length: Int64) throws {
        for type in [#""string""#, #""bytes""#, #"{"type":"map","values":"int"}"#] {
            let schema = try AvroSchema(
                json: #"{"type":"record","name":"T","fields":[{"name":"a","type":\#(type)}]}"#)
            let bytes = (type.contains("map") ? Self.long(1) : []) + Self.long(length) + [1, 2, 3]
            #expect(throws: AvroFault.damaged) { try Self.read(bytes, schema) }
        }
    }

    /// Elements that take no bytes are bounded by the record, not by what it claims.
    @Test(arguments: [Int64.max, Int64.min, 1 << 40, -(1 << 40), 1 << 24])
    func aCountThatNoBytesStandForIsRefused(count: Int64) throws {
        for items in [#""null""#, #"{"type":"record","name":"E","fields":[]}"#] {
            let schema = try AvroSchema(
                json:
                    #"{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"array","items":\#(items)}}]}"#
            )
            let block = Self.long(count) + (count < 0 ? Self.long(0) : [])
            // The smallest number has no opposite, and libavro reads it as no elements.
            #expect(throws: count == .min ? AvroFault.damaged : .tooMany) { try Self.read(block, schema) }
        }
    }

    @Test func aDeepRecordIsRefused() throws {
        let schema = try AvroSchema(
            json: #"{"type":"record","name":"T","fields":[{"name":"a","type":["null","T"]}]}"#)
        #expect(try Self.read([UInt8](repeating: 2, count: 20) + [0], schema) == ["nested"])
        #expect(throws: AvroFault.tooDeep) { try Self.read([UInt8](repeating: 2, count: 60_000), schema) }
        // No byte is needed to go on for ever.
        let endless = try? AvroSchema(
            json:
                #"{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"record","name":"U","fields":[{"name":"b","type":"T"}]}}]}"#
        )
        if let endless { #expect(throws: AvroFault.tooDeep) { try Self.read([1], endless) } }
    }

    @Test func aBranchOrASymbolThatIsNotThereIsDamage() throws {
        let union = try AvroSchema(
            json: #"{"type":"record","name":"T","fields":[{"name":"a","type":["null","int"]}]}"#)
        let symbol = try AvroSchema(
            json:
                #"{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["A"]}}]}"#
        )
        for index: Int64 in [2, -1, 100, 1 << 31] {
            #expect(throws: AvroFault.damaged) { try Self.read(Self.long(index), union) }
            #expect(throws: AvroFault.damaged) { try Self.read(Self.long(index), symbol) }
        }
    }

    @Test func aDeepSchemaIsRefused() {
        let text =
            String(repeating: #"{"type":"array","items":"#, count: 500) + #""int""#
            + String(repeating: "}", count: 500)
        #expect(throws: AvroSchemaError.self) { try AvroSchema(json: text) }
        #expect(throws: AvroSchemaError.self) {
            try AvroSchema(
                json: #"{"type":"record","name":"T","fields":[{"name":"a","type":\#(text)}]}"#)
        }
    }

    @Test func tortureAvroRecords() throws {
        let schema = try AvroSchema(json: Self.everything)
        let sound = [Self.record(), Self.record(next: Self.long(1) + Self.record())]
        try Torture("avro-records").run(rounds: 2_000) { random in
            let bytes = Mutation.apply(to: Mutation.pick(sound, &random), &random)
            do {
                _ = try Self.read(bytes, schema)
                return .accepted
            } catch is AvroFault {
                return .refused
            }
        }
    }

    @Test func tortureAvroSchemas() throws {
        let sound = Array(Self.everything.utf8)
        try Torture("avro-schemas").run(rounds: 500) { random in
            let text = String(decoding: Mutation.apply(to: sound, &random), as: UTF8.self)
            guard let schema = try? AvroSchema(json: text) else { return .refused }
            _ = try? Self.read(Self.record(), schema)
            return .accepted
        }
    }
}
