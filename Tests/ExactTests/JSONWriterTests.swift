import Exact
import Foundation
import Testing

/// Whatever is in a transaction, a verdict is valid JSON that reads back as written.
@Suite struct JSONWriterTests {
    @Test(arguments: ["plain", "quote \" backslash \\", "line\nfeed\u{0}\u{1f}", "ünïcødé 🙂", ""])
    func textReadsBack(text: String) throws {
        var json = JSONWriter()
        json.beginObject()
        json.field("text", text)
        json.endObject()
        let object = try JSONSerialization.jsonObject(with: Data(json.bytes)) as? [String: String]
        #expect(object == ["text": text])
    }

    @Test(arguments: [0, -0.4519, 1e-300, .pi, 1e22, -1.7976931348623157e308])
    func numbersReadBackExactly(number: Double) throws {
        var json = JSONWriter()
        json.beginObject()
        json.field("number", number)
        json.endObject()
        let object = try JSONDecoder().decode([String: Double].self, from: Data(json.bytes))
        #expect(object["number"]?.bitPattern == number.bitPattern)
    }

    @Test(arguments: [Int64.min, -1, 0, 9, 10, .max]) func integersReadBack(number: Int64) {
        var json = JSONWriter()
        json.append(number)
        #expect(String(decoding: json.bytes, as: UTF8.self) == "\(number)")
    }

    @Test func everyCharacterReadsBack() throws {
        let everything = String(String.UnicodeScalarView((0..<0x250).compactMap(Unicode.Scalar.init))) + "😀"
        var json = JSONWriter()
        json.append(text: everything)
        let options = JSONSerialization.ReadingOptions.fragmentsAllowed
        let read = try JSONSerialization.jsonObject(with: Data(json.bytes), options: options)
        #expect(read as? String == everything)
    }

    @Test func whatWasWrittenBeforeIsPutIn() {
        var members = JSONWriter()
        members.field("b", Int64(2))
        members.nullField("c")
        var json = JSONWriter(reusing: Array("x".utf8))
        json.beginObject()
        json.field("a") { $0.append(UInt8(ascii: "1")) }
        json.members(members.bytes)
        json.key("d")
        json.append(0.5)
        json.endObject()
        #expect(String(decoding: json.take(), as: UTF8.self) == #"x{"a":"1","b":2,"c":null,"d":0.5}"#)
        #expect(json.bytes.isEmpty)
    }

    @Test func nestingAndNulls() {
        var json = JSONWriter()
        json.beginObject()
        json.field("a", Int64(1))
        json.beginObject("b")
        json.nullField("c")
        json.endObject()
        json.beginArray("d")
        json.element("x")
        json.element("y")
        json.endArray()
        json.field("e", Double.nan)
        json.endObject()
        #expect(
            String(decoding: json.bytes, as: UTF8.self) == #"{"a":1,"b":{"c":null},"d":["x","y"],"e":null}"#)
    }
}
