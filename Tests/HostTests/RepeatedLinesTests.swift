import Logging
import Testing

@testable import Host

@Suite struct RepeatedLinesTests {
    private let memory = RepeatedLines.Memory()
    private let start = ContinuousClock.now

    private func admit(_ text: String, after seconds: Double) -> Int? {
        let event = LogEvent(
            level: .error, message: "\(text)", metadata: nil, source: nil, file: "", function: "", line: 0)
        return memory.admit(event, at: start + .seconds(seconds))
    }

    @Test func aRepeatedLineIsSaidOnceInAWhileAndCounted() {
        #expect(admit("broker 1: connection refused (after 0ms)", after: 0) == 0)
        #expect(admit("broker 1: connection refused (after 12ms)", after: 1) == nil)
        #expect(admit("broker 1: connection refused (after 3ms)", after: 29) == nil)
        #expect(admit("broker 1: connection refused (after 0ms)", after: 31) == 2)
        #expect(admit("broker 1: connection refused (after 0ms)", after: 62) == 0)
    }

    @Test func otherLinesPass() {
        #expect(admit("broker 1 is away", after: 0) == 0)
        #expect(admit("broker 2 is away", after: 0) == 0)
        for number in 0..<100 { #expect(admit("user \(number)", after: 0) == 0) }
        #expect(admit("broker 1 is away", after: 1) == nil)
        for number in 0..<1_000 { #expect(admit("user \(number)", after: 40) == 0) }
    }

    /// A promotion of many users' models is a line each, and what was said meanwhile was said every time.
    @Test func manyLinesThatComeOnceHideNoneThatRepeats() {
        var said = 0
        for number in 0..<10_000 {
            #expect(admit("user \(number)", after: 0.001 * Double(number)) == 0)
            let times = admit("broker 1 is away", after: 0.001 * Double(number))
            if times != nil { said += 1 }
        }
        #expect(said == 1)
        #expect(admit("broker 1 is away", after: 31) == 9_999)
    }
}
