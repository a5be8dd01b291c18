import DetectorAPI
import Features
import Foundation
import Logging
import Models
import ObjectStore
import Testing

@testable import Management

/// Where a promotion takes two people.
@Suite struct TwoIdentitiesTests {
    private func promote(_ api: TestAPI, _ version: String, key: String, user: String? = nil) async throws
        -> JSONAnswer
    {
        let query = user.map { "?user_id=\($0)" } ?? ""
        return JSONAnswer(
            try await blocking {
                try api.connect().request(
                    "POST", "/v1/models/\(version)/promote\(query)", headers: ["X-Admin-Key: \(key)"])
            })
    }

    @Test func theSecondIsSomebodyElseAndTheAuditLogHasBoth() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "two-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let made = ["ada", "eve"].map {
            KeyFile.make(name: $0, scopes: [.promote], tenantPrefix: nil, expires: nil)
        }
        let (ada, eve) = (made[0].key, made[1].key)
        let file = folder.appending(path: "keys").path
        try JSONEncoder().encode(KeyFile.File(keys: made.map(\.entry))).write(to: URL(filePath: file))
        let path = folder.appending(path: "audit.log").path
        let log = try AuditLog(path: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let api = try await TestAPI(auditLog: log, keyFile: file, promotionIdentities: 2)
        api.services.registry.register(SameScore())
        try api.publish()
        try api.publish()

        #expect(try await promote(api, "v9", key: ada).status == "404")
        for _ in 0..<2 {
            let first = try await promote(api, "v1", key: ada)
            #expect(first.status == "202" && first.json["asked_by"] as? String == "ada", "\(first.json)")
        }
        #expect(try api.services.catalogue.active(.global) == nil)
        // Another version takes the place of the one that waits, and does not confirm it.
        #expect(try await promote(api, "v2", key: eve).status == "202")
        #expect(try await promote(api, "v1", key: ada).status == "202")
        #expect(try api.services.catalogue.active(.global) == nil)
        let second = try await promote(api, "v1", key: eve)
        #expect(second.status == "200" && second.json["changed"] as? Bool == true, "\(second.json)")
        let changes = try api.services.catalogue.changes(of: .global)
        #expect(changes.map(\.by) == ["ada, confirmed by eve"] && changes.first?.to == 1)
        // Nothing waits any more: to confirm once more is to ask.
        #expect(try await promote(api, "v2", key: eve).status == "202")

        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.contains { $0.contains("\"actor\":\"ada\"") && $0.contains("202") })
        let confirmed = try #require(lines.first { $0.contains("\"actor\":\"eve\"") && $0.contains("200") })
        #expect(confirmed.contains("\"asked_by\":\"ada\"") && confirmed.contains("\"to\":\"v1\""))
    }

    @Test func whatWaitsIsErasedWithTheUserAndEndsAfterADay() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "two-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let objects = DirectoryObjectStore(root: folder.path)
        let waiting = PendingPromotions(objects: objects)
        let user = Tenant.user("u/1")
        func ask(_ by: String, _ now: Int64) throws -> PendingPromotions.Answer {
            try waiting.ask(user, version: 3, by: by, reason: "r", now: now)
        }
        guard case .waits(let first) = try ask("ada", 1_000) else {
            Issue.record("it did not wait")
            return
        }
        let day = PendingPromotions.keptMilliseconds
        #expect(try ask("eve", 999 + day) == .confirmed(first))
        guard case .waits(let second) = try ask("eve", 1_000 + day) else {
            Issue.record("it was confirmed after a day")
            return
        }
        #expect(second.by == "eve")
        try waiting.remove(user)
        #expect(try objects.listAll(prefix: "").isEmpty)
    }

    @Test func nobodyTrainsAroundIt() async throws {
        let api = try await TestAPI(promotionIdentities: 2)
        let body =
            #"{"date_range":{"start":"2026-01-01","end":"2026-02-01"},"promotion":"auto"}"#
        let answer = JSONAnswer(
            try await blocking {
                try api.connect().request(
                    "POST", "/v1/train", headers: ["X-Admin-Key: \(TestAPI.key)"], body: body)
            })
        #expect(answer.status == "422" && answer.json["field"] as? String == "promotion", "\(answer.json)")
    }
}
