import Foundation
import Lake
import Testing

@testable import Training

@Suite struct RequestTests {
    private let workshop: Workshop
    init() throws { workshop = try Workshop() }

    private func fault(_ change: (inout TrainingRequest) -> Void) throws -> String? {
        var request = Workshop.request(days: 10)
        change(&request)
        do {
            try request.check(workshop.registry)
            return nil
        } catch TrainingError.invalidRequest(let field, _) {
            return field
        }
    }

    @Test func aSoundRequestPasses() throws {
        #expect(try fault { _ in } == nil)
        #expect(try fault { $0.parameters = ["n_estimators": "50", "max_features": "1"] } == nil)
        #expect(try fault { $0.to = $0.from } == nil)
    }

    @Test func errorsNameTheField() throws {
        #expect(try fault { $0.to = $0.from.adding(days: -1) } == "date_range")
        #expect(try fault { $0.to = $0.from.adding(days: 3_660) } == "date_range")
        #expect(try fault { $0.to = $0.from.adding(days: 3_659) } == nil)
        #expect(try fault { $0.detectorID = "crystal-ball" } == "detector")
        #expect(try fault { $0.parameters = ["trees": "5"] } == "parameters.trees")
        #expect(try fault { $0.parameters = ["n_estimators": "0"] } == "parameters.n_estimators")
        #expect(try fault { $0.parameters = ["n_estimators": "many"] } == "parameters.n_estimators")
        #expect(try fault { $0.contamination = 0 } == "contamination")
        #expect(try fault { $0.contamination = 0.6 } == "contamination")
        #expect(try fault { $0.contamination = .nan } == "contamination")
        #expect(try fault { $0.encoding = .native } == nil)
        #expect(
            try fault {
                $0.encoding = .native
                $0.detectorID = "amount"
            } == "encoding")
        #expect(try fault { $0.leftOut = ["amount", "category", "references"] } == nil)
        #expect(try fault { $0.leftOut = ["amount", "categories"] } == "leave_out")
        #expect(
            try fault {
                $0.leftOut = ["categories"]
                $0.detectorID = TrainingRequest.automatic
            } == "leave_out")
        #expect(try fault { $0.userID = "" } == "user_id")
        #expect(try fault { $0.userID = String(repeating: "x", count: 257) } == "user_id")
        #expect(
            try fault {
                $0.userID = "a"
                $0.allUsers = true
            } == "all_users")
    }

    @Test func aRequestReadsBackFromItsJSON() throws {
        var request = Workshop.request(user: "ü/1", days: 3, promote: true)
        request.parameters = ["max_samples": "64"]
        request.seed = .max
        request.asOfMilliseconds = 1_771_113_600_000
        request.leftOut = ["references"]
        let json = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(TrainingRequest.self, from: json) == request)
    }

    @Test func aRequestOfBeforeThereWereEncodingsIsOneHot() throws {
        var request = Workshop.request(days: 3)
        let json = String(decoding: try JSONEncoder().encode(request), as: UTF8.self)
        #expect(!json.contains("encoding"))
        #expect(try JSONDecoder().decode(TrainingRequest.self, from: Data(json.utf8)).encoding == nil)
        request.encoding = try TrainingRequest.encoding("native")
        let chosen = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(TrainingRequest.self, from: chosen) == request)
        #expect(throws: TrainingError.self) { try TrainingRequest.encoding("hashed") }
    }
}
