import Exact
import Testing

@Suite struct CodingTests {
    @Test func everyByteHasItsTwoDigits() {
        let bytes = (0...255).map { UInt8($0) }
        let text = Hex.text(bytes)
        #expect(text.hasPrefix("000102030405060708090a0b0c0d0e0f10") && text.hasSuffix("fdfeff"))
        #expect(Hex.bytes(text) == bytes)
        #expect(Hex.bytes(text.uppercased()) == bytes)
        #expect(Hex.bytes("") == [])
    }

    @Test(arguments: ["0", "0g", "0x00", " 00", "００"]) func whatIsNoHexIsRefused(_ text: String) {
        #expect(Hex.bytes(text) == nil)
    }

    @Test func whatIsEncodedIsDecoded() {
        let text = "a/b c..😀%-_~."
        #expect(PercentCoding.encode(text.utf8) == "a%2Fb%20c%2E%2E%F0%9F%98%80%25-_~%2E")
        #expect(PercentCoding.decode(PercentCoding.encode(text.utf8)) == Array(text.utf8))
        #expect(PercentCoding.encode("a/b.".utf8) { $0 == UInt8(ascii: "/") } == "a/b%2E")
    }

    @Test(arguments: ["%", "%a", "%zz", "a%2"]) func aPercentSignIsFollowedByDigits(_ text: String) {
        #expect(PercentCoding.decode(text) == nil)
    }
}
