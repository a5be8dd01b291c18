import Foundation
import ObjectStore
import Synchronization
import Testing

/// What every object store must do, shown to a directory and to the real S3 server alike.
@Suite("Object stores, the real ones")
struct ObjectStoreIntegrationTests {
    enum Kind: String, CaseIterable, Sendable {
        case directory, s3

        /// An empty store of its own.
        func make() throws -> any ObjectStore {
            let name = "test-\(UUID().uuidString)"
            switch self {
            case .directory: return try makeObjectStore(uri: NSTemporaryDirectory() + name)
            case .s3:
                return try makeObjectStore(
                    uri: "s3://\(try Stack.variable("S3_BUCKET"))/\(name)", settings: try Self.s3Settings())
            }
        }

        static func s3Settings() throws -> S3Settings {
            let credentials = S3Credentials(
                accessKey: try Stack.variable("S3_ACCESS_KEY"), secretKey: try Stack.variable("S3_SECRET_KEY")
            )
            return S3Settings(
                endpoint: try Stack.variable("S3_ENDPOINT"), region: try Stack.variable("S3_REGION"),
                credentials: credentials)
        }
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// Removes what a test has written, so that the server does not fill up.
    private func clean(_ store: any ObjectStore) {
        for object in (try? store.listAll(prefix: "")) ?? [] { try? store.delete(object.key) }
        if store.location.hasPrefix("/") { try? FileManager.default.removeItem(atPath: store.location) }
    }

    @Test(
        "an object comes back as it was written, whatever its key",
        arguments: Kind.allCases,
        [
            "a", "users/3f/a%2Fb%20c%F0%9F%98%80/v3.model", "users/3f/%25/..%2F../v1",
            "plus+and space/é😀.bin", "lines\nand\ttabs/\u{1}",
            "a=b&c;d/~$@!'()*,:?#[]", ".hidden/...",
            "users/00/" + String(repeating: "%F0", count: 256) + "/v1.model",
        ])
    func roundTrip(kind: Kind, key: String) throws {
        let store = try kind.make()
        defer { clean(store) }
        let value = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try store.get(key) == nil && store.head(key) == nil)
        let tag = try store.put(key, value, if: .always)
        let object = try #require(try store.get(key))
        #expect(object.bytes == value && object.tag == tag)
        #expect(try store.head(key) == ObjectSummary(key: key, sizeBytes: 1000, tag: tag))
        #expect(try store.listAll(prefix: "") == [ObjectSummary(key: key, sizeBytes: 1000, tag: tag)])
        try store.delete(key)
        try store.delete(key)
        #expect(try store.get(key) == nil)
    }

    @Test("conditions hold or nothing is written", arguments: Kind.allCases)
    func conditions(kind: Kind) throws {
        let store = try kind.make()
        defer { clean(store) }
        let refusal = ObjectStoreError.preconditionFailed(key: "k")
        #expect(throws: refusal) { try store.put("k", bytes("0"), if: .unchanged(VersionTag("none"))) }
        let first = try store.put("k", bytes("1"), if: .absent)
        #expect(throws: refusal) { try store.put("k", bytes("2"), if: .absent) }
        #expect(throws: refusal) { try store.put("k", bytes("2"), if: .unchanged(VersionTag("other"))) }
        let second = try store.put("k", bytes("3"), if: .unchanged(first))
        #expect(throws: refusal) { try store.put("k", bytes("4"), if: .unchanged(first)) }
        #expect(try store.get("k")?.bytes == bytes("3") && second != first)
        try store.delete("k")
        #expect(throws: refusal) { try store.put("k", bytes("5"), if: .unchanged(second)) }
        #expect(try store.get("k") == nil)
    }

    @Test("of many threads that write a new object one wins", arguments: Kind.allCases)
    func race(kind: Kind) throws {
        let store = try kind.make()
        defer { clean(store) }
        for round in 0..<5 {
            let wins = Mutex<[UInt8]>([])
            DispatchQueue.concurrentPerform(iterations: 6) { writer in
                do throws(ObjectStoreError) {
                    try store.put("race/\(round)", [UInt8(writer)], if: .absent)
                    wins.withLock { $0.append(UInt8(writer)) }
                } catch {
                    #expect(error == .preconditionFailed(key: "race/\(round)"))
                }
            }
            #expect(try store.get("race/\(round)")?.bytes == wins.withLock { $0 })
        }
    }

    @Test("parts of an object", arguments: Kind.allCases)
    func ranges(kind: Kind) throws {
        let store = try kind.make()
        defer { clean(store) }
        let value = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        try store.put("k", value, if: .always)
        for range in [0..<1, 0..<10_000, 9_999..<10_000, 4_000..<4_321, 0..<0, 10_000..<10_000] {
            #expect(try store.get("k", range: range) == Array(value[range]))
        }
        for range in [0..<10_001, 10_000..<10_001, 9_999..<20_000, 20_000..<20_001, 10_001..<10_001, -1..<3] {
            #expect(throws: ObjectStoreError.self) { try store.get("k", range: range) }
        }
        #expect(throws: ObjectStoreError.notFound(key: "none")) { try store.get("none", range: 0..<1) }
        #expect(throws: ObjectStoreError.notFound(key: "none")) { try store.get("none", range: 0..<0) }
    }

    @Test("an empty object, and one of 20 MB", arguments: Kind.allCases)
    func sizes(kind: Kind) throws {
        let store = try kind.make()
        defer { clean(store) }
        try store.put("empty", [], if: .absent)
        #expect(try store.get("empty")?.bytes == [] && store.head("empty")?.sizeBytes == 0)
        let large = [UInt8](unsafeUninitializedCapacity: 20_000_000) { buffer, count in
            for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index &* index >> 9) }
            count = buffer.count
        }
        let tag = try store.put("large", large, if: .absent)
        let object = try #require(try store.get("large"))
        #expect(object.bytes == large && object.tag == tag)
        #expect(try store.get("large", range: 19_999_000..<20_000_000) == Array(large[19_999_000...]))
        #expect(try store.head("large") == ObjectSummary(key: "large", sizeBytes: 20_000_000, tag: tag))
    }

    @Test("2,500 objects, listed page by page in the order of bytes", arguments: Kind.allCases)
    func lists(kind: Kind) throws {
        let store = try kind.make()
        defer { clean(store) }
        var keys = (0..<2_490).map { "days/\($0 % 50)/part-\($0).parquet" }
        // Names that sort otherwise with their folder's slash than without.
        keys += ["a", "a-b/x", "a.b/x", "ab/x", "A/x", "ä/x", "z%2Fz/x", "days-/x", "days.x", "days0/x"]
        let failures = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { [keys] worker in
            for index in stride(from: worker, to: keys.count, by: 8) {
                if (try? store.put(keys[index], [1, 2], if: .absent)) == nil {
                    failures.withLock { $0 += 1 }
                }
            }
        }
        #expect(failures.withLock { $0 } == 0)
        let expected = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(try store.listAll(prefix: "").map(\.key) == expected)
        var found: [String] = []
        while true {
            let page = try store.list(prefix: "days", after: found.last, limit: 999)
            found += page.map(\.key)
            #expect(page.allSatisfy { $0.sizeBytes == 2 })
            if page.count < 999 { break }
        }
        #expect(found == expected.filter { $0.utf8.starts(with: "days".utf8) })
        #expect(
            try store.list(prefix: "days/", after: nil, limit: 3).map(\.key)
                == Array(expected.filter { $0.hasPrefix("days/") }.prefix(3)))
        #expect(try store.list(prefix: "days/", after: nil, limit: 1_500).count == 1_500)
        #expect(try store.list(prefix: "", after: "z", limit: 10).map(\.key) == ["z%2Fz/x", "ä/x"])
        #expect(try store.list(prefix: "nothing", after: nil, limit: 10).isEmpty)
        #expect(try store.list(prefix: "", after: nil, limit: 0).isEmpty)
        #expect(
            try store.head("days/7/part-7.parquet")
                == store.list(prefix: "days/7/part-7.", after: nil, limit: 1).first)
    }

    @Test("keys and prefixes that are none are refused", arguments: Kind.allCases)
    func hostileKeys(kind: Kind) throws {
        let store = try kind.make()
        for key in ["", "/a", "a/../b", "..", "a//b", "a/", "a\0b"] {
            #expect(throws: ObjectStoreError.invalidKey(key)) { try store.get(key) }
            #expect(throws: ObjectStoreError.invalidKey(key)) { try store.put(key, [], if: .always) }
        }
        #expect(throws: ObjectStoreError.invalidKey("../")) { try store.listAll(prefix: "../") }
    }

    // MARK: S3 alone

    @Test("stores below different prefixes do not see each other")
    func prefixes() throws {
        let bucket = try Stack.variable("S3_BUCKET")
        let name = "test-\(UUID().uuidString)"
        let inner = try makeObjectStore(uri: "s3://\(bucket)/\(name)/models", settings: try Kind.s3Settings())
        let neighbour = try makeObjectStore(
            uri: "s3://\(bucket)/\(name)/models2", settings: try Kind.s3Settings())
        let outer = try makeObjectStore(uri: "s3://\(bucket)/\(name)", settings: try Kind.s3Settings())
        defer { clean(outer) }
        try inner.put("a", [1], if: .absent)
        try neighbour.put("a", [2], if: .absent)
        #expect(try inner.listAll(prefix: "").map(\.key) == ["a"])
        #expect(try outer.listAll(prefix: "").map(\.key) == ["models/a", "models2/a"])
        #expect(inner.location == "s3://\(bucket)/\(name)/models")
    }

    @Test("wrong credentials, or none, are denied with the server's reason and without the secret")
    func denied() throws {
        var settings = try Kind.s3Settings()
        let bucket = try Stack.variable("S3_BUCKET")
        let wrong = [
            S3Credentials(accessKey: try Stack.variable("S3_ACCESS_KEY"), secretKey: "wrong-secret-7"),
            S3Credentials(accessKey: "nobody", secretKey: "wrong-secret-7"), nil,
        ]
        for credentials in wrong {
            settings.credentials = credentials
            let store = try makeObjectStore(uri: "s3://\(bucket)/test", settings: settings)
            for call in [
                { _ = try store.get("k") }, { _ = try store.head("k") },
                { try store.put("k", [1], if: .absent) },
                { _ = try store.listAll(prefix: "") }, { try store.delete("k") },
            ] as [() throws -> Void] {
                let error = #expect(throws: ObjectStoreError.self) { try call() }
                guard case .denied(let location, _) = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
                #expect(location.contains(bucket) && error?.description.contains("wrong-secret-7") == false)
            }
        }
    }

    @Test("a bucket that does not exist is an error that names it, not an empty store")
    func noBucket() throws {
        let store = try makeObjectStore(uri: "s3://no-such-bucket-7/test", settings: try Kind.s3Settings())
        for call in [{ _ = try store.get("k") }, { _ = try store.listAll(prefix: "") }] as [() throws -> Void]
        {
            let error = #expect(throws: ObjectStoreError.self) { try call() }
            #expect(error?.description.contains("NoSuchBucket") == true)
        }
    }

    @Test("a port where nobody listens is unavailable, soon")
    func deadPort() throws {
        var settings = try Kind.s3Settings()
        settings.endpoint = "http://127.0.0.1:1"
        settings.backoffMilliseconds = 1...10
        let start = ContinuousClock.now
        let error = #expect(throws: ObjectStoreError.self) {
            try makeObjectStore(uri: "s3://bucket/test", settings: settings).get("k")
        }
        #expect(error?.isRetryable == true && error?.description.contains("127.0.0.1:1") == true)
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test("a store is used by more threads than it has connections")
    func manyThreads() throws {
        var settings = try Kind.s3Settings()
        settings.maximumConnections = 3
        let name = "test-\(UUID().uuidString)"
        let store = try makeObjectStore(
            uri: "s3://\(try Stack.variable("S3_BUCKET"))/\(name)", settings: settings)
        defer { clean(store) }
        let failures = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 12) { worker in
            for round in 0..<10 {
                do throws(ObjectStoreError) {
                    let value = bytes("\(worker)-\(round)")
                    try store.put("\(worker)/\(round)", value, if: .absent)
                    let found = try store.get("\(worker)/\(round)")?.bytes
                    if found != value { failures.withLock { $0.append("\(worker)/\(round)") } }
                } catch {
                    failures.withLock { $0.append(error.description) }
                }
            }
        }
        #expect(failures.withLock { $0 } == [])
    }
}
