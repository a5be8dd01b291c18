import Foundation
import Hummingbird
import Logging
import NIOCore
import Testing

@testable import Management

@Suite struct KeyTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func request(_ key: String?) -> Request {
        var head = HTTPRequest(method: .get, scheme: "http", authority: "x", path: "/")
        if let key { head.headerFields[.authorization] = "Bearer \(key)" }
        return Request(head: head, body: .init(buffer: ByteBuffer()))
    }

    private func write(_ keys: [KeyFile.Key]) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "ml-keys-\(UUID().uuidString)").path
        try JSONEncoder().encode(KeyFile.File(keys: keys)).write(to: URL(filePath: path))
        return path
    }

    private func status(_ body: () throws -> Identity?) -> Int {
        do {
            _ = try body()
            return 200
        } catch let problem as Problem {
            return problem.status.code
        } catch {
            return -1
        }
    }

    @Test func aKeyIsGoodForItsScopes() throws {
        let (key, entry) = KeyFile.make(
            name: "risk", scopes: [.read, .promote], tenantPrefix: "eu-", expires: nil)
        let ring = try KeyRing(
            adminKey: "the admin's own key", file: try write([entry]), isReadingOpen: false, logger: logger)
        func status(_ key: String?, _ scope: Scope?) -> Int {
            self.status { try ring.identity(of: request(key), for: scope, from: "1.2.3.4") }
        }
        #expect(status(nil, nil) == 200)
        #expect(status(nil, .read) == 401)
        #expect(status(key, .read) == 200)
        #expect(status(key, .promote) == 200)
        #expect(status(key, .erase) == 403)
        #expect(status("the admin's own key", .erase) == 200)
        #expect(status(key + "x", .read) == 401)
        let identity = try #require(try ring.identity(of: request(key), for: .read, from: nil))
        #expect(identity.name == "risk")
        #expect(throws: Never.self) { try identity.check(userID: "eu-7") }
        #expect(throws: Problem.self) { try identity.check(userID: "us-7") }
        #expect(throws: Problem.self) { try identity.check(userID: nil) }
    }

    @Test func aKeyEndsOnItsDay() throws {
        let (key, entry) = KeyFile.make(name: "a", scopes: [.read], tenantPrefix: nil, expires: "2027-01-01")
        for (now, expected) in [("2026-12-31T23:59:59Z", 200), ("2027-01-01T00:00:00Z", 401)] {
            let date = try Date(now, strategy: .iso8601)
            let ring = try KeyRing(
                adminKey: nil, file: try write([entry]), isReadingOpen: false, logger: logger, now: { date })
            #expect(status { try ring.identity(of: request(key), for: .read, from: nil) } == expected)
        }
    }

    /// Whoever guesses has to wait, and nobody else.
    @Test func guessingIsSlow() throws {
        let ring = try KeyRing(adminKey: "right", isReadingOpen: true, logger: logger)
        for _ in 0..<FailedAttempts.allowed {
            #expect(status { try ring.identity(of: request("wrong"), for: .train, from: "1.1.1.1") } == 401)
        }
        #expect(status { try ring.identity(of: request("right"), for: .train, from: "1.1.1.1") } == 429)
        #expect(status { try ring.identity(of: request("right"), for: .train, from: "2.2.2.2") } == 200)
    }

    /// A page of a stranger's has its own name lead to this machine, and reads by it what needs no key.
    @Test func lookingNeedsAKeyByAnyNameThatIsNotThisMachines() throws {
        let ring = try KeyRing(
            adminKey: "right", isReadingOpen: true, openNames: { $0 == "localhost:8080" }, logger: logger)
        func status(_ name: String?, _ key: String? = nil) -> Int {
            var head = HTTPRequest(method: .get, scheme: "http", authority: name, path: "/")
            if let key { head.headerFields[.authorization] = "Bearer \(key)" }
            let request = Request(head: head, body: .init(buffer: ByteBuffer()))
            return self.status { try ring.identity(of: request, for: .read, from: "127.0.0.1") }
        }
        #expect(status("localhost:8080") == 200 && status(nil) == 200)
        #expect(status("evil.example:8080") == 401)
        #expect(status("evil.example:8080", "right") == 200)
    }

    @Test func attemptsAreForgottenAfterAMinuteAndBounded() {
        var attempts = FailedAttempts()
        let start = Date(timeIntervalSince1970: 0)
        for address in 0..<5_000 { _ = attempts.add("\(address)", start) }
        for _ in 0..<FailedAttempts.allowed { _ = attempts.add("1", start) }
        #expect(attempts.secondsToWait("1", start) == 60)
        #expect(attempts.secondsToWait("1", start + 61) == nil)
        #expect(attempts.secondsToWait("4999", start) == nil)
    }

    @Test func withoutAnyKeyNothingChanges() throws {
        let ring = try KeyRing(adminKey: "", isReadingOpen: true, logger: logger)
        #expect(status { try ring.identity(of: request(nil), for: .train, from: nil) } == 403)
        #expect(status { try ring.identity(of: request(nil), for: .read, from: nil) } == 200)
    }

    @Test(arguments: [
        "", "{}", "[]", #"{"keys":[{"name":"a","sha256":"12","scopes":["read"]}]}"#,
        #"{"keys":[{"name":"a","sha256":"x","scopes":["fly"]}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["fly"]}]}"#,
        // Each of these would have made a key that may do more than was meant, or for longer.
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"tenant_prefx":"eu-"}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"tenant_prefix":""}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"tenant_prefix":null}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"expire":"2020-01-01"}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"expires":"2026-02-30"}]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"expires":20200101}]}"#,
        #"{"keys":[{"name":"","sha256":"HASH","scopes":["read"]}]}"#,
        #"{"keys":[],"key":[]}"#,
        #"{"keys":[{"name":"a","sha256":"HASH","scopes":["read"],"scopes":["admin"]}]}"#,
    ])
    func aFileThatCannotBeUsedIsNamed(text: String) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "ml-keys-\(UUID().uuidString)").path
        let hash = String(repeating: "0", count: 64)
        try Data(text.replacing("HASH", with: hash).utf8).write(to: URL(filePath: path))
        let error = #expect(throws: KeyFileError.self) {
            try KeyRing(adminKey: nil, file: path, isReadingOpen: true, logger: logger)
        }
        #expect(error?.description.contains(path) == true)
    }

    @Test(arguments: [("", nil, nil), ("a", "", nil), ("a", nil, "tomorrow"), ("a", nil, "2026-02-30")])
    func noKeyIsMadeThatTheFileWouldNotHave(name: String, prefix: String?, expires: String?) {
        #expect(throws: KeyFileError.self) {
            try KeyFile.check(name: name, tenantPrefix: prefix, expires: expires)
        }
    }
}
