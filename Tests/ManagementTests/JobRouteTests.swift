import Foundation
import Lake
import Testing
import Training

@testable import Management

/// Jobs as they are listed, and who may see and end them.
@Suite struct JobRouteTests {
    private func call(_ api: TestAPI, _ method: String, _ target: String, key: String = TestAPI.key)
        async throws
        -> String
    {
        try await blocking { try api.connect().request(method, target, headers: ["X-Admin-Key: \(key)"]) }
    }

    private func submit(_ api: TestAPI, _ userID: String?, seed: UInt64 = 0) throws -> String {
        let day = LakeDay(dayNumber: 20_454)
        return try api.services.jobs.submit(
            TrainingRequest(
                userID: userID, from: day, to: day.adding(days: 1), detectorID: "isolation-forest", seed: seed
            ),
            key: nil, submitter: ""
        ).id
    }

    private func ids(_ answer: String) throws -> [String] {
        let body = answer.components(separatedBy: "\r\n\r\n").last ?? ""
        let jobs = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [[String: Any]]
        return try #require(jobs).compactMap { $0["job_id"] as? String }
    }

    @Test func pagesGoOnWhereTheOneBeforeEnded() async throws {
        let api = try await TestAPI()
        let all = try (0..<5).map { try submit(api, nil, seed: UInt64($0)) }.reversed()
        var (found, pages): ([String], Int) = ([], 0)
        var target: String? = "/v1/train?limit=2"
        while let next = target {
            let answer = try await call(api, "GET", next)
            found += try ids(answer)
            pages += 1
            target = answer.firstMatch(of: /link: <([^>]*)>; rel="next"/.ignoresCase()).map { String($0.1) }
        }
        #expect(found == Array(all) && pages == 3)
        let wrong = try await call(api, "GET", "/v1/train?cursor=nobody")
        #expect(wrong.hasPrefix("HTTP/1.1 422") && wrong.contains("\"field\":\"cursor\""), "\(wrong)")
    }

    /// Whoever may train some users' models may neither read of others nor end what they have asked for.
    @Test func aKeyForSomeUsersHasTheirJobsOnly() async throws {
        let (key, entry) = KeyFile.make(name: "k", scopes: [.read, .train], tenantPrefix: "a-", expires: nil)
        let file = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try JSONEncoder().encode(KeyFile.File(keys: [entry])).write(to: file)
        let api = try await TestAPI(keyFile: file.path)
        var (own, others): ([String], [String]) = ([], [])
        for number in 0..<5 {
            own.append(try submit(api, "a-\(number)"))
            others.append(try submit(api, "b-\(number)"))
            others.append(try submit(api, nil, seed: UInt64(number)))
        }
        #expect(try ids(try await call(api, "GET", "/v1/train", key: key)) == own.reversed())
        let first = try await call(api, "GET", "/v1/train?limit=2", key: key)
        #expect(try ids(first) == own.suffix(2).reversed() && first.contains("rel=\"next\""))
        for id in others {
            for method in ["GET", "DELETE"] {
                #expect(try await call(api, method, "/v1/train/\(id)", key: key).hasPrefix("HTTP/1.1 404"))
            }
            #expect(try api.services.jobs.job(id: id)?.state == .queued)
        }
        #expect(try await call(api, "DELETE", "/v1/train/\(own[0])", key: key).hasPrefix("HTTP/1.1 204"))
        #expect(try await call(api, "GET", "/v1/train/\(others[0])").hasPrefix("HTTP/1.1 200"))
    }

    @Test func anUnknownFieldOfTheDaysIsNamed() async throws {
        let api = try await TestAPI()
        let answer = try await train(api, #"{"date_range":{"start":"2026-01-01","end":"2026-01-02","x":2}}"#)
        #expect(answer.status == "422" && answer.json["field"] as? String == "date_range.x", "\(answer.json)")
        #expect(try api.services.jobs.jobs().isEmpty)
    }

    @Test(arguments: ["-1", "1.5", "1e30", "\"7\"", "18446744073709551616"])
    func aSeedThatIsNoneIsNamed(seed: String) async throws {
        let api = try await TestAPI()
        let answer = try await train(
            api, #"{"date_range":{"start":"2026-01-01","end":"2026-01-02"},"seed":\#(seed)}"#)
        #expect(answer.status == "422" && answer.json["field"] as? String == "seed", "\(answer.json)")
    }

    private func train(_ api: TestAPI, _ body: String) async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking {
                try api.connect().request(
                    "POST", "/v1/train", headers: ["X-Admin-Key: \(TestAPI.key)"], body: body)
            })
    }
}
