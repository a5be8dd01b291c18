import DetectorAPI
import Foundation
import Models
import Testing

@testable import Management

/// Lists in pages: all pages together are the list, and none is longer than it was asked to be.
@Suite struct PageTests {
    private func get(_ api: TestAPI, _ target: String, key: String = TestAPI.key) async throws -> String {
        try await blocking { try api.connect().request("GET", target, headers: ["X-Admin-Key: \(key)"]) }
    }

    /// The items of each page, from `target` on along the links.
    private func pages(
        _ api: TestAPI, _ target: String, member: String? = nil, key: String = TestAPI.key
    ) async throws -> [[[String: Any]]] {
        var pages: [[[String: Any]]] = []
        var next: String? = target
        while let target = next, pages.count < 50 {
            let answer = try await get(api, target, key: key)
            #expect(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
            let body = Data((answer.components(separatedBy: "\r\n\r\n").last ?? "").utf8)
            let value = try JSONSerialization.jsonObject(with: body)
            let items: Any? = if let member { (value as? [String: Any])?[member] } else { value }
            pages.append(try #require(items as? [[String: Any]], "\(answer)"))
            next = answer.firstMatch(of: /link: <([^>]*)>; rel="next"/.ignoresCase()).map { String($0.1) }
        }
        return pages
    }

    private func refusesCursor(_ api: TestAPI, _ target: String) async throws -> Bool {
        let answer = try await get(api, target)
        return answer.hasPrefix("HTTP/1.1 422") && answer.contains("\"field\":\"cursor\"")
    }

    @Test func changesOfModels() async throws {
        let api = try await TestAPI()
        api.services.registry.register(SameScore())
        for _ in 0..<5 { try api.publish() }
        for version in 1...5 {
            let answer = try await blocking {
                try api.connect().request(
                    "POST", "/v1/models/v\(version)/promote", headers: ["X-Admin-Key: \(TestAPI.key)"])
            }
            #expect(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
        }
        func sequences(_ query: String) async throws -> [[Int]] {
            try await pages(api, "/v1/models/changes\(query)").map {
                $0.compactMap { $0["sequence"] as? Int }
            }
        }
        #expect(try await sequences("") == [[1, 2, 3, 4, 5]])
        #expect(try await sequences("?limit=2") == [[1, 2], [3, 4], [5]])
        #expect(try await sequences("?limit=5") == [[1, 2, 3, 4, 5]])
        #expect(try await sequences("?cursor=4") == [[5]])
        #expect(try await sequences("?cursor=5") == [[]])
        #expect(try await refusesCursor(api, "/v1/models/changes?cursor=v4"))
    }

    @Test func rules() async throws {
        let api = try await TestAPI()
        for name in ["c", "a", "e", "b", "d"] {
            let body = #"{"id":"\#(name)","action":"suppress","user_id":"u","reason":"r"}"#
            _ = try await blocking {
                try api.connect().request(
                    "POST", "/v1/rules", headers: ["X-Admin-Key: \(TestAPI.key)"], body: body)
            }
        }
        func ids(_ query: String) async throws -> [String] {
            try await pages(api, "/v1/rules\(query)", member: "rules").map {
                $0.compactMap { $0["id"] as? String }.joined()
            }
        }
        #expect(try await ids("") == ["abcde"])
        #expect(try await ids("?limit=2") == ["ab", "cd", "e"])
        #expect(try await ids("?cursor=bb&limit=3") == ["cde"])
        // The version is said on each page.
        #expect(JSONAnswer(try await get(api, "/v1/rules?limit=1&cursor=d")).json["version"] as? Int == 5)
    }

    @Test func labelsOfAUser() async throws {
        let api = try await TestAPI()
        try api.putLabelled(user: "u/1", count: 5)
        func ids(_ query: String) async throws -> [String] {
            try await pages(api, "/v1/users/u%2F1/labels\(query)").map {
                $0.compactMap { $0["transaction_id"] as? String }.joined()
            }
        }
        #expect(try await ids("") == ["t4t3t2t1t0"])
        #expect(try await ids("?limit=2") == ["t4t3", "t2t1", "t0"])
        #expect(try await ids("?limit=5") == ["t4t3t2t1t0"])
        for wrong in ["t-1", "x:t1", "1.5:t"] {
            #expect(try await refusesCursor(api, "/v1/users/u%2F1/labels?cursor=\(wrong)"))
        }
    }

    @Test func versionsOutOfService() async throws {
        let api = try await TestAPI()
        for (user, version) in [("b/1", 2), ("a", 1), ("b/1", 11), ("c", 1)] {
            api.router.quarantine(.user(user), version: version, reason: "it failed")
        }
        api.router.quarantine(.global, version: 3, reason: "it failed")
        func places(_ query: String) async throws -> [[String]] {
            try await pages(api, "/v1/quarantine\(query)").map {
                $0.map { "\($0["tenant"] ?? "") \($0["version"] ?? "")" }
            }
        }
        let all = ["global v3", "a v1", "b/1 v2", "b/1 v11", "c v1"]
        #expect(try await places("") == [all])
        #expect(try await places("?limit=2") == [Array(all[..<2]), Array(all[2..<4]), [all[4]]])
        for wrong in ["b-1", "three/user:b", "v0/user:b", "v3/b", "v3/user:"] {
            #expect(try await refusesCursor(api, "/v1/quarantine?cursor=\(wrong)"))
        }
    }

    /// Ids come from outside: they may be the word for everybody, or two spellings of one text.
    @Test func aUserIsNotTheGlobalModelWhateverTheyAreCalled() async throws {
        let api = try await TestAPI()
        let users = ["global", "user:global", "\u{E9}", "e\u{301}", "\u{301}"]
        for version in [3, 4] {
            api.router.quarantine(.global, version: version, reason: "of all")
            for user in users { api.router.quarantine(.user(user), version: version, reason: "of one") }
        }
        let items = try await pages(api, "/v1/quarantine?limit=1").map { page -> String in
            let item = try #require(page.first)
            let user = (item["user_id"] as? String).map { Array($0.utf8) }
            #expect((item["reason"] as? String) == (user == nil ? "of all" : "of one"))
            return "\(user.map { "\($0)" } ?? "global") \(item["version"] ?? "")"
        }
        #expect(items.count == 12 && Set(items).count == 12, "\(items)")
        #expect(items.prefix(2) == ["global v3", "global v4"])
    }

    /// Neither others' versions nor the global one's, on no page; nor by a cursor that names them.
    @Test func aKeyForSomeUsersSeesTheirQuarantineOnly() async throws {
        let (key, entry) = KeyFile.make(name: "k", scopes: [.read], tenantPrefix: "a-", expires: nil)
        let file = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try JSONEncoder().encode(KeyFile.File(keys: [entry])).write(to: file)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
        let api = try await TestAPI(keyFile: file.path)
        for number in 1...3 {
            for user in ["a-\(number)", "b-\(number)", "a\(number)"] {
                api.router.quarantine(.user(user), version: 1, reason: "of \(user)")
            }
        }
        api.router.quarantine(.global, version: 1, reason: "of all")
        func tenants(_ query: String, key: String) async throws -> [[String]] {
            try await pages(api, "/v1/quarantine\(query)", key: key).map {
                $0.compactMap { $0["tenant"] as? String }
            }
        }
        #expect(try await tenants("", key: TestAPI.key).joined().count == 10)
        #expect(try await tenants("", key: key) == [["a-1", "a-2", "a-3"]])
        #expect(try await tenants("?limit=2", key: key) == [["a-1", "a-2"], ["a-3"]])
        #expect(try await tenants("?cursor=v1/user:a1", key: key) == [[]])
        let text = try await get(api, "/v1/quarantine", key: key)
        #expect(!text.contains("of b-") && !text.contains("of all"), "\(text)")
    }
}
