import Testing

@testable import Host

/// What goes over a network in the clear is said at start.
@Suite struct PlaintextTests {
    private func warnings(_ flags: [String: String]) async throws -> [String] {
        try Plaintext.warnings(
            try await Settings.load(file: nil, flags: flags, environment: [:], notice: { _ in }))
    }

    @Test func whatStaysOnThisMachineIsNotSaid() async throws {
        #expect(try await warnings([:]).isEmpty)
        #expect(
            try await warnings([
                "http.host": "::1", "redis.url": "redis://:p@127.0.0.9:6379/1",
                "s3.endpoint": "http://localhost:9000",
                "stream.brokers": "127.0.0.1:9092,localhost:9093,[::1]:9092",
            ]).isEmpty)
        #expect(try await warnings(["redis.url": "unix:///run/redis.sock"]).isEmpty)
    }

    @Test func everyOtherPlaceIsNamedWithoutItsSecrets() async throws {
        let found = try await warnings([
            "http.host": "0.0.0.0", "redis.url": "redis://:hunter2@redis.bank:6379",
            "s3.endpoint": "http://minio:9000", "webhooks.url": "http://hooks.bank/x",
            "telemetry.otlp": "http://collector:4318", "registry.url": "http://registry:8081",
            "stream.brokers": "localhost:9092,kafka.bank:9092",
        ])
        #expect(found.count == 7, "\(found)")
        let places = [
            "0.0.0.0", "redis.bank", "minio", "hooks.bank", "collector", "registry", "kafka.bank",
        ]
        for (place, text) in zip(places, found) {
            #expect(text.contains(place) && !text.contains("hunter2"))
        }
    }

    @Test func whatIsEncryptedIsNotSaid() async throws {
        #expect(
            try await warnings([
                "http.host": "0.0.0.0", "http.certificate": "c.pem", "http.certificatekey": "k.pem",
                "s3.endpoint": "https://s3.bank", "stream.brokers": "kafka.bank:9092",
                "stream.properties": "security.protocol=SASL_SSL", "redis.url": "rediss://:x@redis.bank",
            ]).isEmpty)
        #expect(
            try await warnings([
                "stream.brokers": "kafka.bank:9092", "stream.properties": "security.protocol=sasl_plaintext",
            ]).count == 1)
    }

    @Test(arguments: ["127.0.0.1", "127.255.0.1", "localhost", "LOCALHOST", "a.localhost", "::1", "[::1]"])
    func thisMachineIsKnown(host: String) { #expect(Plaintext.isLoopback(host)) }

    /// As `Host` has it.
    @Test(arguments: [
        ("localhost:8080", true), ("127.0.0.1", true), ("[::1]:8080", true), ("evil.example:8080", false),
        ("localhost.evil.example", false), ("127.0.0.1.nip.io:80", false), ("10.0.0.1:80", false),
        ("::1", true),
    ])
    func theNameOfARequestIsThisMachinesOrNot(name: String, isOurs: Bool) {
        #expect(Plaintext.isLoopback(Plaintext.host(of: name[...])) == isOurs)
    }

    @Test(arguments: [
        "0.0.0.0", "127.0.0.1.evil.com", "127.1", "localhost.evil.com", "", "::", "10.0.0.1", "128.0.0.1",
    ])
    func othersAreNotTakenForIt(host: String) { #expect(!Plaintext.isLoopback(host)) }
}
