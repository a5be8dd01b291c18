import Testing

@testable import Redis

@Suite("Redis addresses")
struct RedisAddressTests {
    @Test(
        "what an address may look like",
        arguments: [
            ("redis://localhost", .tcp(host: "localhost", port: 6379), nil, nil, 0),
            ("redis://10.0.0.7:7000/3", .tcp(host: "10.0.0.7", port: 7000), nil, nil, 3),
            ("redis://:secret@cache:6380/", .tcp(host: "cache", port: 6380), nil, "secret", 0),
            ("redis://app:p%40ss%2Fw%23rd@cache", .tcp(host: "cache", port: 6379), "app", "p@ss/w#rd", 0),
            ("redis://[::1]:6379/1", .tcp(host: "::1", port: 6379), nil, nil, 1),
            ("rediss://app:secret@cache/2", .tcp(host: "cache", port: 6379), "app", "secret", 2),
            ("unix:///run/redis.sock", .unix(path: "/run/redis.sock"), nil, nil, 0),
            ("unix:///run/a%20b.sock?db=2", .unix(path: "/run/a b.sock"), nil, nil, 2),
            ("unix://:secret@/run/redis.sock", .unix(path: "/run/redis.sock"), nil, "secret", 0),
        ] as [(String, RedisAddress.Endpoint, String?, String?, Int)])
    func accepted(
        text: String, endpoint: RedisAddress.Endpoint, user: String?, password: String?, database: Int
    ) throws {
        let address = try RedisAddress(parsing: text)
        #expect(address.endpoint == endpoint)
        #expect(address.user == user)
        #expect(address.password == password)
        #expect(address.database == database)
        #expect(try RedisAddress(parsing: address.description).endpoint == endpoint)
        #expect((address.tls != nil) == text.hasPrefix("rediss"))
    }

    @Test(
        "what is refused, without repeating the password",
        arguments: [
            "", "localhost:6379", "http://cache", "redis://", "redis://cache:0", "redis://cache:70000",
            "redis://cache/x", "redis://cache/-1", "redis://user@cache", "rediss://user@cache",
            "unix://relative",
            "unix://host/run/redis.sock", "unix:///" + String(repeating: "x", count: 200),
            "redis://:sec#ret@cache",
        ])
    func refused(text: String) throws {
        let error = #expect(throws: RedisAddressError.self) { try RedisAddress(parsing: text) }
        #expect(error?.description.contains("sec") == false)
    }

    @Test("a description never shows user or password")
    func description() throws {
        #expect(try RedisAddress(parsing: "redis://app:secret@cache:1/2").description == "redis://cache:1/2")
        #expect(try RedisAddress(parsing: "unix://:secret@/a.sock?db=1").description == "unix:///a.sock?db=1")
    }
}
