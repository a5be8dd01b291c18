import Foundation
import Testing

@testable import Serving

/// A file that holds no verdict is named, with what it lacks.
@Suite struct RecordedVerdictTests {
    @Test(arguments: [
        ("", "verdict.json: it is empty"), ("no JSON", "verdict.json: it is no JSON object"),
        ("[]", "verdict.json: it is no JSON object"), ("{}", "verdict.json: it is no verdict: it lacks "),
        (#"{"transaction_id":"t","user_id":"u"}"#, "it lacks model"),
        (#"{"transaction_id":"t","user_id":"u","model":{"version":1}}"#, "it lacks model.sha256"),
        (
            #"{"transaction_id":"t","user_id":"u","model":{"version":"1","sha256":""}}"#,
            "its model.version is"
        ),
        (#"{"transaction_id":"t","user_id":7,"model":{"version":1,"sha256":""}}"#, "its user_id is"),
    ])
    func whatIsNoVerdictIsSaidInItsNames(text: String, words: String) {
        let error = #expect(throws: RecordedVerdictError.self) {
            try RecordedVerdict(json: Array(text.utf8), name: "verdict.json")
        }
        let said = error?.description ?? ""
        #expect(said.hasPrefix("verdict.json: ") && said.contains(words), "\(said)")
        #expect(!said.contains("Error") && !said.contains("CodingKey"), "\(said)")
    }

    @Test func aLineIsNamed() {
        let whole = #"{"transaction_id":"t","user_id":"u","model":{"version":1,"sha256":""}}"#
        let error = #expect(throws: RecordedVerdictError.self) {
            try RecordedVerdicts(Data("\(whole)\n{}\n".utf8), name: "verdicts.jsonl")
        }
        #expect(error?.description.hasPrefix("verdicts.jsonl, line 2: it is no verdict: it lacks ") == true)
    }
}
