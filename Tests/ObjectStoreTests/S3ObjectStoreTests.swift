import Foundation
import Synchronization
import Testing

@testable import ObjectStore

@Suite("S3 and a server that misbehaves")
struct S3ObjectStoreTests {
    private func store(
        _ server: ScriptedHTTPServer, _ change: (inout S3Settings) -> Void = { _ in }
    ) throws -> S3ObjectStore {
        var settings = S3Settings(
            endpoint: "http://127.0.0.1:\(server.port)",
            credentials: S3Credentials(accessKey: "access", secretKey: "secret", sessionToken: "token-1"))
        settings.backoffMilliseconds = 1...2
        change(&settings)
        return try S3ObjectStore(bucket: "bucket", prefix: "p", settings: settings)
    }

    private static func problem(_ code: String) -> String {
        "<Error><Code>\(code)</Code><Message>as told</Message></Error>"
    }

    @Test("a request carries what it is signed with, and the connection is kept")
    func requests() throws {
        let server = try ScriptedHTTPServer { _, _ in .send(200, headers: ["ETag": "\"e1\""], body: "abc") }
        let store = try store(server)
        #expect(
            try store.put("a%2F b", Array("value".utf8), if: .unchanged(VersionTag("t"))) == VersionTag("e1"))
        #expect(try store.get("k")?.bytes == Array("abc".utf8))
        let put = server.requests[0]
        #expect(
            put.method == "PUT" && put.target == "/bucket/p/a%252F%20b" && put.body == Array("value".utf8))
        #expect(put.headers["if-match"] == "\"t\"" && put.headers["x-amz-security-token"] == "token-1")
        #expect(put.headers["x-amz-content-sha256"] == SignatureV4.hash(Array("value".utf8)))
        let authorization = try #require(put.headers["authorization"])
        for name in ["host", "if-match", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"] {
            #expect(authorization.contains(name))
        }
        #expect(!authorization.contains("secret") && put.headers["expect"] == nil)
        #expect(server.requests.map(\.connection) == [0, 0])
    }

    @Test("a store that is busy is asked again", arguments: [429, 500, 502, 503, 504])
    func busy(status: Int) throws {
        let server = try ScriptedHTTPServer { _, number in
            number < 3
                ? .send(status, body: Self.problem("SlowDown"))
                : .send(200, headers: ["ETag": "\"e\""], body: "x")
        }
        #expect(try store(server).get("k")?.bytes == [120])
        #expect(server.requests.count == 4)
    }

    @Test("after a failure the next attempt goes by a new connection", arguments: [500, 503])
    func newConnection(status: Int) throws {
        let server = try ScriptedHTTPServer { request, _ in
            // The server behind the first connection stays broken.
            request.connection == 0
                ? .send(status, body: Self.problem("InternalError"))
                : .send(200, headers: ["ETag": "\"e\""], body: "x")
        }
        let store = try store(server)
        #expect(try store.get("k")?.bytes == [120])
        #expect(try store.get("k")?.bytes == [120])
        #expect(server.requests.map(\.connection) == [0, 1, 1])
    }

    @Test("a range that was cut off on the way is worth another try, one that passes the end is not")
    func cutRange() throws {
        let server = try ScriptedHTTPServer { _, number in
            .send(206, headers: ["Content-Range": "bytes 0-9/\(number == 0 ? 100 : 5)"], body: "short")
        }
        let store = try store(server)
        let cut = #expect(throws: ObjectStoreError.self) { try store.get("k", range: 0..<10) }
        #expect(cut?.isRetryable == true)
        let beyond = #expect(throws: ObjectStoreError.self) { try store.get("k", range: 0..<10) }
        #expect(beyond?.isRetryable == false)
    }

    @Test("more bytes than a reader can use are not read")
    func largerThanWanted() throws {
        let server = try ScriptedHTTPServer { _, _ in
            .send(200, headers: ["ETag": "\"e\""], body: String(repeating: "x", count: 3 << 20))
        }
        let error = #expect(throws: ObjectStoreError.self) {
            try store(server).get("k", maximumSize: 2 << 20)
        }
        #expect(error?.description.contains("at most \(2 << 20) are read") == true)
        #expect(error?.isRetryable == false)
    }

    @Test("a store that stays busy is unavailable, with its own words")
    func alwaysBusy() throws {
        let server = try ScriptedHTTPServer { _, _ in .send(503, body: Self.problem("SlowDown")) }
        let error = #expect(throws: ObjectStoreError.self) { try store(server).get("k") }
        #expect(error?.isRetryable == true && error?.description.contains("SlowDown: as told") == true)
        #expect(server.requests.count == 4)
    }

    @Test("connections that break off are tried again, also in the middle of an answer")
    func brokenConnections() throws {
        let server = try ScriptedHTTPServer { _, number in
            switch number {
            case 0: .close
            case 1: .raw("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\nabc")
            default: .send(200, headers: ["ETag": "\"e\""], body: "whole")
            }
        }
        #expect(try store(server).get("k")?.bytes == Array("whole".utf8))
    }

    @Test("a silent store costs the timeout of each attempt")
    func silence() throws {
        let server = try ScriptedHTTPServer { _, _ in .hang }
        let store = try store(server) {
            $0.requestTimeoutMilliseconds = 50
            $0.maximumAttempts = 2
        }
        let error = #expect(throws: ObjectStoreError.self) { try store.get("k") }
        #expect(error?.isRetryable == true)
        #expect(server.requests.count == 2)
    }

    @Test("what another attempt would not change is not tried again", arguments: [400, 403, 404, 405, 501])
    func lasting(status: Int) throws {
        let server = try ScriptedHTTPServer { _, _ in .send(status, body: Self.problem("AsTold")) }
        let error = #expect(throws: ObjectStoreError.self) { try store(server).put("k", [1], if: .always) }
        #expect(error?.isRetryable == false)
        #expect(server.requests.count == 1)
    }

    @Test(
        "a conditional write whose answer was lost finds itself, and is no conflict",
        arguments: [true, false])
    func ownWrite(isNew: Bool) throws {
        let written = Mutex<String?>(nil)
        let server = try ScriptedHTTPServer { request, number in
            if request.method == "HEAD" {
                let id = written.withLock { $0 } ?? ""
                return .send(200, headers: ["ETag": "\"mine\"", "X-Amz-Meta-Write-Id": id])
            }
            // The first one is carried out, but the client hears nothing of it.
            if number == 0 {
                written.withLock { $0 = request.headers["x-amz-meta-write-id"] }
                return .close
            }
            return .send(412, body: Self.problem("PreconditionFailed"))
        }
        let condition: PutCondition = isNew ? .absent : .unchanged(VersionTag("old"))
        #expect(try store(server).put("k", [1], if: condition) == VersionTag("mine"))
    }

    @Test("a conditional write that was tried twice and finds somebody else's object is a conflict")
    func strangersWrite() throws {
        let server = try ScriptedHTTPServer { request, number in
            if request.method == "HEAD" {
                return .send(200, headers: ["ETag": "\"e\"", "x-amz-meta-write-id": "other"])
            }
            return number == 0 ? .send(500) : .send(412, body: Self.problem("PreconditionFailed"))
        }
        #expect(throws: ObjectStoreError.preconditionFailed(key: "k")) {
            try store(server).put("k", [1], if: .absent)
        }
    }

    @Test("two conditional writes at the same moment are tried again, not reported")
    func conflict() throws {
        let server = try ScriptedHTTPServer { _, number in
            number == 0
                ? .send(409, body: Self.problem("ConditionalRequestConflict"))
                : .send(200, headers: ["ETag": "\"e\""])
        }
        #expect(try store(server).put("k", [1], if: .absent) == VersionTag("e"))
    }

    @Test("a large upload to a server that goes away is an error, not a signal")
    func brokenPipe() throws {
        let server = try ScriptedHTTPServer { _, _ in .close }
        let store = try store(server) { $0.maximumAttempts = 2 }
        let value = [UInt8](repeating: 1, count: 4 << 20)
        #expect(throws: ObjectStoreError.self) { try store.put("k", value, if: .always) }
    }

    @Test("an answer that is larger than what was asked for is not kept")
    func tooLarge() throws {
        let server = try ScriptedHTTPServer { _, _ in .send(206, body: String(repeating: "x", count: 3 << 20))
        }
        let error = #expect(throws: ObjectStoreError.self) { try store(server).get("k", range: 0..<10) }
        #expect(error?.isRetryable == false)
    }

    @Test("a server that ignores ranges, or gives no tag, is found out")
    func strangeServers() throws {
        let server = try ScriptedHTTPServer { _, _ in .send(200, body: "0123456789") }
        #expect(throws: ObjectStoreError.self) { try store(server).get("k", range: 2..<4) }
        #expect(throws: ObjectStoreError.self) { try store(server).get("k") }
        #expect(throws: ObjectStoreError.self) { try store(server).put("k", [1], if: .always) }
        #expect(throws: ObjectStoreError.self) { try store(server).listAll(prefix: "") }
    }

    @Test("what is no HTTP is an error that says so")
    func nonsense() throws {
        let server = try ScriptedHTTPServer { _, _ in .raw("220 mail.example ready\r\n") }
        let error = #expect(throws: ObjectStoreError.self) { try store(server).get("k") }
        #expect(error?.description.contains("HTTP/0.9") == true)
    }

    @Test("a redirect is not followed, since it would need another signature, but explained")
    func redirects() throws {
        let server = try ScriptedHTTPServer { _, _ in .send(301, headers: ["Location": "http://127.0.0.1:1/"])
        }
        let error = #expect(throws: ObjectStoreError.self) { try store(server).get("k") }
        #expect(error?.description.contains("another region") == true)
    }

    @Test("a list goes on until the server says that it is whole, and passes over what are no keys")
    func pages() throws {
        let server = try ScriptedHTTPServer { request, _ in
            let isSecond = request.target.contains("continuation-token=next%2F1")
            let keys = isSecond ? ["p/c"] : ["p/a", "p/b/", "p//x", "stranger"]
            let entries = keys.map {
                "<Contents><Key>\($0)</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>"
            }
            let end =
                isSecond
                ? "<IsTruncated>false</IsTruncated>"
                : "<IsTruncated>true</IsTruncated><NextContinuationToken>next/1</NextContinuationToken>"
            return .send(200, body: "<ListBucketResult>\(entries.joined())\(end)</ListBucketResult>")
        }
        #expect(try store(server).list(prefix: "", after: "A", limit: 10).map(\.key) == ["a", "c"])
        #expect(server.requests[0].target.contains("start-after=p%2FA"))
    }

    @Test("keys that XML cannot hold are listed", arguments: [true, false])
    func encodedKeys(isEncoding: Bool) throws {
        let server = try ScriptedHTTPServer { request, _ in
            let keys = isEncoding ? ["p/a%0Ab", "p/b%01+c%2Bd", "p/%C3%BC"] : ["p/a", "p/b+c", "p/x%20y"]
            let entries = keys.map {
                "<Contents><Key>\($0)</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>"
            }
            let encoding = isEncoding ? "<EncodingType>url</EncodingType>" : ""
            return .send(
                200,
                body: "<ListBucketResult>\(encoding)\(entries.joined())<IsTruncated>false</IsTruncated>"
                    + "</ListBucketResult>")
        }
        let keys = try store(server).listAll(prefix: "").map(\.key)
        #expect(keys == (isEncoding ? ["a\nb", "b\u{1} c+d", "ü"] : ["a", "b+c", "x%20y"]))
        #expect(server.requests[0].target.contains("encoding-type=url"))
        // The answer is none of an object, and does not matter here.
        _ = try? store(server).get("a\nb")
        #expect(server.requests.last?.target.contains("p/a%0Ab") == true)
    }

    @Test("a list that never ends is an error", .timeLimit(.minutes(20)))
    func endlessList() throws {
        let server = try ScriptedHTTPServer { _, _ in
            .send(
                200,
                body: "<ListBucketResult><IsTruncated>true</IsTruncated>"
                    + "<NextContinuationToken>same</NextContinuationToken></ListBucketResult>")
        }
        #expect(throws: ObjectStoreError.self) { try store(server).listAll(prefix: "") }
    }

    @Test(
        "a certificate that nobody has signed is refused, at once", .enabled(if: SelfSignedServer.hasOpenSSL))
    func certificates() throws {
        let server = try SelfSignedServer()
        var settings = S3Settings(endpoint: "https://localhost:\(server.port)")
        settings.backoffMilliseconds = 1...1
        let error = #expect(throws: ObjectStoreError.self) {
            try S3ObjectStore(bucket: "bucket", settings: settings).get("k")
        }
        #expect(
            error?.isRetryable == false && error?.description.lowercased().contains("certificate") == true)
    }

    @Test(
        "a certificate of an authority that the settings name is taken",
        .enabled(if: SelfSignedServer.hasOpenSSL))
    func ownAuthority() throws {
        let server = try SelfSignedServer()
        var settings = S3Settings(endpoint: "https://localhost:\(server.port)")
        settings.backoffMilliseconds = 1...1
        settings.certificateAuthorities = server.certificate
        // openssl answers with a page of its own, which has no ETag: the certificate was taken, and the answer read.
        let answered = #expect(throws: ObjectStoreError.self) {
            try S3ObjectStore(bucket: "bucket", settings: settings).get("k")
        }
        #expect(answered?.description.contains("ETag") == true, "\(String(describing: answered))")
        // A file of authorities that is not there, and one of another.
        let other = try SelfSignedServer()
        for path in ["/nowhere/ca.pem", other.certificate] {
            settings.certificateAuthorities = path
            let error = #expect(throws: ObjectStoreError.self) {
                try S3ObjectStore(bucket: "bucket", settings: settings).get("k")
            }
            #expect(error?.isRetryable == false, "\(String(describing: error))")
        }
    }
}
