import Testing

@testable import Serving

/// Alerts of one user within one window of event time are one group.
@Suite struct AlertGroupTests {
    private let hour: Int64 = 3_600_000
    private let noon: Int64 = 1_770_120_000_000

    private func id(_ user: String, _ time: Int64, seconds: Int = 3_600) -> String {
        AlertGroups(windowSeconds: seconds).id(user: user.utf8, timeMilliseconds: time)
    }

    @Test func itDependsOnUserAndWindowAlone() {
        #expect(id("u", noon) == id("u", noon + hour - 1))
        #expect(id("u", noon) != id("u", noon + hour) && id("u", noon) != id("u", noon - 1))
        #expect(id("u", noon) != id("v", noon))
        #expect(id("u", noon) != id("u", noon, seconds: 7_200))
        // It is stored by others: the same for ever.
        #expect(id("u", noon) == "9b1420870726ce78")
    }

    @Test func timesFarAwayDoNotTrap() {
        for time in [Int64.min, -1, 0, .max] {
            for seconds in [Int.min, 0, 1, .max] { #expect(id("u", time, seconds: seconds).count == 16) }
        }
        #expect(id("u", -1) == id("u", -hour) && id("u", -1) != id("u", 0))
    }
}
