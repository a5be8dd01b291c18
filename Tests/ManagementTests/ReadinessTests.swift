import Foundation
import Logging
import Models
import Testing

@testable import Management
@testable import Serving

/// What `/readyz` says where no global model serves.
@Suite struct ReadinessTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func api() async throws -> TestAPI {
        let status = ServingStatus()
        status.enter(.running, of: status.join())
        let api = try await TestAPI(serving: status)
        api.services.registry.register(SameScore())
        return api
    }

    private func ready(_ api: TestAPI) async throws -> (status: String, reason: String) {
        let answer = JSONAnswer(try await blocking { try api.connect().request("GET", "/readyz") })
        return (answer.status, answer.json["reason"] as? String ?? "")
    }

    /// As another process has left the store.
    private func activate(_ api: TestAPI) throws {
        try api.services.catalogue.activate(
            [Activation(.global, version: 1)], by: "t", reason: "r", timeMilliseconds: 1)
    }

    @Test func withoutAModelOneIsToBeTrained() async throws {
        let api = try await api()
        _ = try api.services.promotion.start(logger: logger)
        var answer = try await ready(api)
        #expect(answer.status == "503" && answer.reason.contains("ml-service train"), "\(answer)")
        try api.publish()
        _ = try api.services.promotion.promote([.global: 1], by: "t", reason: "r")
        answer = try await ready(api)
        #expect(answer.status == "200" && answer.reason.isEmpty, "\(answer)")
    }

    @Test func anActiveVersionThatIsDamagedIsNamed() async throws {
        let api = try await api()
        try api.publish()
        try activate(api)
        try api.objects.put("models/global/v1.model", Array("no model".utf8), if: .always)
        _ = try api.services.promotion.start(logger: logger)
        let answer = try await ready(api)
        #expect(answer.status == "503" && answer.reason.hasPrefix("v1 of the global model"), "\(answer)")
        let quarantined = try #require(api.services.promotion.quarantinedModels.first)
        #expect(answer.reason.contains(quarantined.reason), "\(answer)")
    }

    @Test func aDamagedManifestIsNamedAsLongAsItIsDamaged() async throws {
        let api = try await api()
        try api.publish()
        try activate(api)
        let key = "models/catalogue/global.json"
        let manifest = try #require(try api.objects.get(key)).bytes
        try api.objects.put(key, Array(manifest.dropLast(5)), if: .always)
        _ = try api.services.promotion.start(logger: logger)
        var answer = try await ready(api)
        #expect(answer.status == "503" && answer.reason.contains("\(key) is damaged"), "\(answer)")
        try api.objects.put(key, manifest, if: .always)
        _ = try api.services.promotion.poll(logger: logger)
        answer = try await ready(api)
        #expect(answer.status == "200", "\(answer)")
    }
}
