import Testing

@testable import Redis

@Suite("Redis arguments")
struct RedisArgumentsTests {
    @Test("arguments are encoded as the protocol wants them, whatever bytes they hold")
    func encoding() {
        var arguments: RedisArguments = ["SET", .bytes([0, 13, 10, 255]), 42, "k\(7)é"]
        #expect(arguments.count == 4)
        #expect(
            arguments.wire == Array("$3\r\nSET\r\n$4\r\n".utf8) + [0, 13, 10, 255]
                + Array("\r\n$2\r\n42\r\n$4\r\nk7é\r\n".utf8))
        arguments.removeAll(keepingCapacity: true)
        #expect(arguments.count == 0 && arguments.wire.isEmpty)
    }

    @Test("a prefix and an id make one argument")
    func prefixes() {
        var arguments = RedisArguments()
        Array("7f".utf8).withUnsafeBytes { arguments.append(prefix: "user:", $0) }
        #expect(arguments == ["user:7f"])
    }

    @Test(
        "lengths of every number of digits",
        arguments: [0, 1, 9, 10, 99, 100, 999, 1000, 99_999, 100_000, 1_234_567])
    func lengths(_ length: Int) {
        var arguments = RedisArguments()
        [UInt8](repeating: 65, count: length).withUnsafeBytes { arguments.append($0) }
        #expect(arguments.wire.starts(with: "$\(length)\r\nA".utf8.prefix(length == 0 ? 4 : 100)))
        #expect(arguments.wire.count == 1 + "\(length)".count + 2 + length + 2)
    }

    @Test("appending one list to another")
    func joining() {
        var arguments: RedisArguments = ["MGET"]
        arguments.append(contentsOf: ["a", "b"])
        #expect(arguments == ["MGET", "a", "b"])
    }

    @Test("a script's name is the SHA-1 of its source")
    func scripts() {
        // FIPS 180-4's example.
        #expect(RedisScript("abc").sha1 == "a9993e364706816aba3e25717850c26c9cd0d89d")
    }
}
