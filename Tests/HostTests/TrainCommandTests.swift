import Testing
import Training

@testable import Host

@Suite struct TrainCommandTests {
    @Test func askingForPromotionAndForNoneIsRefused() throws {
        let error = #expect(throws: UsageError.self) { try Train.promotion(.manual, promote: true) }
        #expect(error.map { "\($0)".contains("--promote contradicts --promotion manual") } == true)
        #expect(try Train.promotion(.manual, promote: false) == .manual)
        #expect(try Train.promotion(.auto, promote: true) == .auto)
        #expect(try Train.promotion(nil, promote: true) == .gated)
        #expect(try Train.promotion(nil, promote: false) == .gated)
    }
}
