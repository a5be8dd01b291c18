import Foundation
import Synchronization
import Testing
import Torture

@testable import ObjectStore

/// A store that answers anything. `scripts/torture` gives this more time.
@Suite struct TortureTests {
    private static let list = """
        <?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated>
        <Contents><Key>a/b</Key><Size>3</Size><ETag>&quot;x&quot;</ETag></Contents>
        <Contents><Key>a/c</Key><Size>9223372036854775807</Size><ETag>"y"</ETag></Contents></ListBucketResult>
        """

    @Test func tortureS3Answers() throws {
        let body = Array(Self.list.utf8)
        let answer = Mutex(body)
        let server = try ScriptedHTTPServer { _, number in
            let body = String(decoding: answer.withLock { $0 }, as: UTF8.self)
            return .raw(body)
        }
        var settings = S3Settings(endpoint: "http://127.0.0.1:\(server.port)")
        settings.maximumAttempts = 1
        settings.stallTimeoutSeconds = 1
        let store = try S3ObjectStore(bucket: "bucket", settings: settings)
        let heads = [
            "HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\nETag: \"e\"\r\n\r\n",
            "HTTP/1.1 206 Partial\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 404 No\r\n\r\n",
        ]
        try Torture("S3 answers").run(rounds: 60) { random in
            let whole = Array(Mutation.pick(heads, &random).utf8) + body
            answer.withLock { $0 = Mutation.apply(to: whole, &random) }
            do {
                switch random.below(4) {
                case 0:
                    for object in try store.listAll(prefix: "a/") where object.sizeBytes < 0 {
                        throw Torture.Failure("a negative size")
                    }
                case 1: _ = try store.get("a/b", maximumSize: 1_000)
                case 2: _ = try store.get("a/b", range: 0..<10)
                default:
                    if let size = try store.head("a/b")?.sizeBytes, size < 0 {
                        throw Torture.Failure("a negative size")
                    }
                }
                return .accepted
            } catch is ObjectStoreError {
                return .refused
            }
        }
    }

    @Test func tortureLists() throws {
        let body = Array(Self.list.utf8)
        try Torture("S3 lists").run(rounds: 500) { random in
            let page = S3ListPage(Mutation.apply(to: body, &random))
            guard page?.entries.allSatisfy({ $0.sizeBytes ?? 0 >= 0 }) ?? true else {
                throw Torture.Failure("a negative size")
            }
            _ = S3Problem(Mutation.apply(to: body, &random))
            return page == nil ? .refused : .accepted
        }
    }
}
