import Testing

@testable import Host

@Suite struct ReferenceMomentTests {
    private let now: Int64 = 1_772_366_400_000  // 2026-03-01T12:00:00Z

    @Test(arguments: ["2026-03-01", "2018-06-15T06:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z"])
    func aMomentThatIsOverIsTaken(text: String) throws {
        #expect(
            try parsePastMoment(text, option: "--as-of", now: now) == parseMoment(text, option: "--as-of"))
    }

    /// A table of tomorrow would serve with nothing in it.
    @Test(arguments: ["2026-03-01T12:05:01Z", "2026-03-02", "2126-01-30"])
    func aMomentOfTheFutureIsRefused(text: String) {
        let error = #expect(throws: UsageError.self) {
            try parsePastMoment(text, option: "--as-of", now: now)
        }
        #expect(error.map { "\($0)".contains("--as-of is in the future") } == true)
    }
}
