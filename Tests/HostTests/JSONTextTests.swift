import Testing

@testable import Host

/// What `--json` prints is spelt as the API spells it.
@Suite struct JSONTextTests {
    private struct Sample: Encodable {
        var userID = "u"
        var payloadSHA256 = "00"
        var isPromoted = true
        var worst = -Double.infinity
        /// Names that are no names of ours.
        var byName = ["aB": 1.5]
    }

    @Test func namesAreThoseOfTheAPI() throws {
        let text = try jsonText(Sample())
        #expect(
            text == """
                {
                  "by_name" : {
                    "aB" : 1.5
                  },
                  "is_promoted" : true,
                  "payload_sha256" : "00",
                  "user_id" : "u",
                  "worst" : "-inf"
                }
                """, "\(text)")
    }
}
