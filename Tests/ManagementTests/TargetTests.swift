import Foundation
import Models
import ObjectStore
import Testing
import Training

@testable import Management

/// No part of what a caller says is passed over in silence, and every refusal says what to do.
@Suite struct TargetTests {
    private func status(_ answer: String) -> String { String(answer.dropFirst(9).prefix(3)) }
    private let key = "X-Admin-Key: \(TestAPI.key)"

    /// A misspelt `user_id` once promoted the global model.
    @Test(arguments: [
        ("POST", "/v1/models/v1/promote?userid=a", "userid"), ("GET", "/v1/models?user=a", "user"),
        ("GET", "/v1/models?user_id=a&user_id=b", "user_id"), ("GET", "/healthz?verbose", "verbose"),
        ("DELETE", "/v1/users/a?force=1", "force"), ("GET", "/v1/train?limit=0", "limit"),
        ("GET", "/v1/train?limit=1e3", "limit"), ("GET", "/v1/models?cursor=x", "cursor"),
        ("POST", "/v1/models/+1/promote", "version"), ("POST", "/v1/models/v0/promote", "version"),
        ("POST", "/v1/models/9223372036854775808/promote", "version"),
        ("GET", "/v1/models?user_id=", "user_id"),
    ])
    func whatARouteDoesNotKnowIsRefused(method: String, target: String, field: String) async throws {
        let api = try await TestAPI()
        let answer = try await blocking { [key] in try api.connect().request(method, target, headers: [key]) }
        #expect(status(answer) == "422", "\(answer)")
        #expect(answer.contains("\"field\":\"\(field)\""), "\(answer)")
    }

    /// An empty object says nothing, and some clients send it with every call.
    @Test(arguments: [
        (#"{"user_id":"a"}"#, true), ("x", true), (String(repeating: " ", count: 100), true), ("{}", false),
        (" { }\n", false), ("", false),
    ])
    func aBodyWhereNoneIsTakenIsRefused(body: String, isRefused: Bool) async throws {
        let api = try await TestAPI()
        let answer = try await blocking { [key] in
            try api.connect().request("POST", "/v1/models/v1/promote", headers: [key], body: body)
        }
        #expect(status(answer) == (isRefused ? "422" : "404"), "\(answer)")
        #expect(answer.contains("takes no body") == isRefused, "\(answer)")
    }

    @Test(arguments: [
        ("GET", "/v1/models/v1/promote", "OPTIONS, POST"), ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/train", "GET, HEAD, OPTIONS, POST"), ("TRACE", "/healthz", "GET, HEAD, OPTIONS"),
        ("HEAD", "/v1/models/v1/promote", "OPTIONS, POST"),
    ])
    func aWrongMethodIsToldTheRightOnes(method: String, target: String, allow: String) async throws {
        let api = try await TestAPI()
        let answer = try await blocking { try api.connect().request(method, target) }
        #expect(status(answer) == "405", "\(answer)")
        #expect(answer.lowercased().contains("allow: \(allow.lowercased())\r\n"), "\(answer)")
    }

    @Test(arguments: ["/healthz", "/openapi.json", "/v1/models", "/v1/train/none", "/nowhere"])
    func headAnswersAsGetDoesWithoutTheBody(target: String) async throws {
        let api = try await TestAPI()
        let (get, head) = try await blocking {
            (try api.connect().request("GET", target), try api.connect().request("HEAD", target))
        }
        func lines(_ answer: String) -> [Substring] {
            (answer.components(separatedBy: "\r\n\r\n").first ?? "").split(separator: "\r\n").filter {
                !$0.lowercased().hasPrefix("date:")
            }.map { $0[...] }
        }
        #expect(lines(get) == lines(head))
        #expect(head.hasSuffix("\r\n\r\n"))
        #expect(!get.hasSuffix("\r\n\r\n"))
    }

    @Test func pathsAreTakenAsTheyAre() async throws {
        let api = try await TestAPI()
        try await blocking { [key] in
            for path in [
                "/v1/models/", "//v1/models", "/v1", "//", "/v1/MODELS", "/v1/models/v1", "/healthz/x",
            ] {
                #expect(self.status(try api.connect().request("GET", path)) == "404", "\(path)")
            }
            #expect(self.status(try api.connect().request("GET", "/v1/train/%ff")) == "400")
            #expect(self.status(try api.connect().request("GET", "/%76%31/models")) == "200")
            // A slash between percent signs belongs to the id.
            let erased = try api.connect().request("DELETE", "/v1/users/a%2Fb", headers: [key])
            #expect(self.status(erased) == "404", "\(erased)")
        }
    }

    /// What is no HTTP is the caller's fault.
    @Test(arguments: ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}", "ffffffffffffffffff\r\n{}"])
    func chunksThatAreNoneAreABadRequest(chunks: String) async throws {
        let api = try await TestAPI()
        let answer = try await blocking { [key] in
            let client = try api.connect()
            client.send(
                "POST /v1/train HTTP/1.1\r\nHost: x\r\n\(key)\r\nTransfer-Encoding: chunked\r\n\r\n\(chunks)")
            return client.receive { $0.contains("\r\n\r\n") }.text
        }
        #expect(status(answer) == "400", "\(answer)")
    }

    /// Such a request comes to no route.
    @Test(arguments: [
        ("no HTTP at all\r\n\r\n", "method"), ("GET /healthz HTTP/7.x\r\n\r\n", "version"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + String(repeating: "a", count: 100_000), "overflow"),
    ])
    func aHeadThatCannotBeReadIsToldWhy(head: String, why: String) async throws {
        let api = try await TestAPI()
        let (text, isClosed) = try await blocking {
            let client = try api.connect()
            client.send(head)
            return client.receive()
        }
        #expect(status(text) == "400" && isClosed, "\(text)")
        #expect(text.lowercased().contains("content-type: application/problem+json\r\n"), "\(text)")
        let problem = JSONAnswer(text).json
        #expect(problem["type"] as? String == "urn:ml-service:problem:invalid-request-head", "\(text)")
        #expect((problem["detail"] as? String)?.contains(why) == true, "\(text)")
    }

    @Test func optionsTellsTheMethods() async throws {
        let api = try await TestAPI()
        let answer = try await blocking { try api.connect().request("OPTIONS", "/v1/train") }
        #expect(status(answer) == "204")
        #expect(answer.lowercased().contains("allow: get, head, options, post"))
    }

    /// RFC 9110, section 9.3.7.
    @Test func optionsOfTheServerTellsWhatItKnows() async throws {
        let api = try await TestAPI()
        let answer = try await blocking { try api.connect().request("OPTIONS", "*") }
        #expect(status(answer) == "204", "\(answer)")
        let line = answer.lowercased().components(separatedBy: "\r\n").filter { $0.hasPrefix("allow: ") }
        #expect(line == ["allow: delete, get, head, options, post"])
        #expect(self.status(try await blocking { try api.connect().request("GET", "*") }) == "404")
    }

    // MARK: Every error has a status of its own kind

    @Test(arguments: [
        (TrainingError.queueFull(limit: 1) as any Error, 429, true),
        (TrainingError.tooManyJobs("a has many", retrySeconds: 7), 429, true),
        (TrainingError.scratch(folder: "f", reason: "r"), 503, true),
        (TrainingError.noData("n"), 422, false), (TrainingError.keyReused("k"), 409, false),
        (TrainingError.damagedJob(id: "i", reason: "r"), 500, false),
        (TrainingError.invalidRequest(field: "f", reason: "r"), 422, false),
        (ObjectStoreError.unavailable(location: "l", reason: "r"), 503, true),
        (ObjectStoreError.denied(location: "l", reason: "r"), 502, false),
        (ObjectStoreError.failed(location: "l", reason: "r"), 502, false),
        (ObjectStoreError.preconditionFailed(key: "k"), 503, true),
        (ObjectStoreError.tooLarge(key: "k", sizeBytes: 2, maximumSize: 1), 500, false),
        (ObjectStoreError.notFound(key: "k"), 404, false),
        (CatalogueError.malformed(key: "k", reason: "r"), 500, false),
        (CatalogueError.contended(key: "k", attempts: 1), 503, true),
        (ModelLoadError.notFound(tenant: "t", version: 1), 404, false),
        (ModelLoadError.noThreshold, 409, false), (ArtifactError.wrongSignature, 409, false),
        (POSIXError(.EIO), 500, false),
    ])
    func errorsAreToldApart(error: any Error, status: Int, hasRetryAfter: Bool) throws {
        let problem = Problem(of: error)
        #expect(problem.status.code == status)
        let response = try problem.response()
        #expect((response.headers[.retryAfter] != nil) == hasRetryAfter)
        #expect(response.headers[.contentType] == "application/problem+json")
    }

    // MARK: What is stored may be anything

    /// A planted object of three gigabytes is not read to list what there is.
    @Test func listingReadsHeadersOnly() async throws {
        let api = try await TestAPI()
        let folder = api.folder.appending(path: "store/models/global")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["v1", "v2147483646", "v9223372036854775807"] {
            let file = folder.appending(path: "\(name).model").path
            #expect(FileManager.default.createFile(atPath: file, contents: Data("MLMODEL1".utf8)))
            let handle = try #require(FileHandle(forWritingAtPath: file))
            try handle.truncate(atOffset: 3 << 30)
            try handle.close()
        }
        try await blocking { [key] in
            let before = try Self.residentBytes()
            let list = try api.connect().request("GET", "/v1/models")
            #expect(self.status(list) == "200", "\(list)")
            #expect(list.contains("\"version\":\"v1\"") && list.contains("\"error\":\"it"))
            let promoted = try api.connect().request("POST", "/v1/models/1/promote", headers: [key])
            #expect(["409", "500"].contains(self.status(promoted)), "\(promoted)")
            #expect(try Self.residentBytes() - before < 512 << 20)
        }
    }

    private static func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return (text.count > 1 ? Int(text[1]) ?? 0 : 0) * 4_096
    }

    @Test func aHistoryObjectOfAnyNameIsNoEndOfTheProcess() async throws {
        let api = try await TestAPI()
        for version in 1...9 {
            try api.services.catalogue.activate(
                [Activation(.global, version: version)], by: "t", reason: "r", timeMilliseconds: 1)
        }
        try api.objects.put("models/history/global/-9223372036854775808.json", Array("{}".utf8), if: .always)
        let answer = try await blocking { try api.connect().request("GET", "/v1/models/changes") }
        #expect(status(answer) == "500", "\(answer)")
        #expect(answer.contains("models/history/global/-9223372036854775808.json"), "\(answer)")
    }

    // MARK: Erasing

    @Test func erasingGivesAReceiptAndThen404() async throws {
        let api = try await TestAPI()
        try api.services.catalogue.activate(
            [Activation(.user("a"), version: 1)], by: "t", reason: "r", timeMilliseconds: 1)
        try api.objects.put("models/users/ca/a/v1.model", [1], if: .always)
        try await blocking { [key] in
            let first = try api.connect().request("DELETE", "/v1/users/a", headers: [key])
            // This process keeps no windows: others may.
            #expect(self.status(first) == "202", "\(first)")
            #expect(first.contains("\"what\":\"models\"") && first.contains("\"what\":\"catalogue\""))
            #expect(try api.services.catalogue.active(.user("a")) == nil)
            #expect(try api.services.models.versions(of: .user("a")).isEmpty)
            let second = try api.connect().request("DELETE", "/v1/users/a", headers: [key])
            #expect(self.status(second) == "404", "\(second)")
        }
    }
}
