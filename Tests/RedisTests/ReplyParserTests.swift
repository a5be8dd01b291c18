import Testing

@testable import Redis

@Suite("Redis replies")
struct ReplyParserTests {
    /// The reply in `bytes`, fed in pieces; nil when it is not whole; throws what is wrong with it.
    private func parse(_ bytes: [UInt8], pieceSize: Int) throws -> RedisReply? {
        let tape = ReplyTape()
        let parser = try #require(ReplyParser(tape: tape))
        for start in stride(from: 0, to: bytes.count, by: pieceSize) {
            let piece = Array(bytes[start..<min(start + pieceSize, bytes.count)])
            if let reason = piece.withUnsafeBytes({ parser.feed($0) }) { throw Damaged(reason: reason) }
            switch parser.next() {
            case .needsMore: continue
            case .damaged(let reason): throw Damaged(reason: reason)
            case .reply:
                var index = 0
                let reply = tape.reply(at: &index)
                #expect(index == tape.elements.count)
                return reply
            }
        }
        return nil
    }

    private struct Damaged: Error { let reason: String }

    @Test(
        "every kind of reply, however it is cut into pieces",
        arguments: [
            ("+OK\r\n", .status("OK")),
            ("-ERR no\r\n", .error("ERR no")),
            (":-42\r\n", .integer(-42)),
            ("$-1\r\n", .null),
            ("*-1\r\n", .null),
            ("$0\r\n\r\n", .bulk([])),
            ("$4\r\na\r\nb\r\n", .bulk(Array("a\r\nb".utf8))),
            ("*0\r\n", .array([])),
            (
                "*3\r\n*2\r\n:1\r\n$-1\r\n$1\r\nx\r\n-E\r\n",
                .array([.array([.integer(1), .null]), .bulk([120]), .error("E")])
            ),
        ] as [(String, RedisReply)])
    func kinds(text: String, expected: RedisReply) throws {
        let bytes = Array(text.utf8)
        for pieceSize in 1...bytes.count {
            #expect(try parse(bytes, pieceSize: pieceSize) == expected)
        }
        #expect(try parse(Array(bytes.dropLast()), pieceSize: bytes.count) == nil)
    }

    @Test(
        "what is no reply is an error, not a trap",
        arguments: [
            "hello\r\n", "$-2\r\n", "$99999999999999999999\r\n", "*-7\r\n", "*99999999999\r\n", "$x\r\n",
            ":\r\n",
            "%1\r\n+a\r\n+b\r\n", "_\r\n", String(repeating: "*1\r\n", count: 20) + ":1\r\n",
        ])
    func strange(text: String) {
        #expect(throws: Damaged.self) { try parse(Array(text.utf8), pieceSize: 1 << 20) }
    }

    @Test("an array that announces two thousand million elements takes no memory for them")
    func hugeCount() throws {
        #expect(try parse(Array("*2000000000\r\n:1\r\n".utf8), pieceSize: 64) == nil)
    }

    @Test("random bytes never trap")
    func randomBytes() throws {
        let alphabet = Array("*$+-:0123456789\r\n\r\n\r\nab".utf8) + [0, 255]
        var generator = SplitMix(state: 20_180_601)
        for _ in 0..<3_000 {
            let length = Int.random(in: 1...60, using: &generator)
            let bytes = (0..<length).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            _ = try? parse(bytes, pieceSize: Int.random(in: 1...60, using: &generator))
        }
    }

    /// Seeded, so that a failure comes back.
    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
