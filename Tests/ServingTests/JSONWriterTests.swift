import Foundation
import Testing

@testable import Serving

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
