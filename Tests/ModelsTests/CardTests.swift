import Features
import Foundation
import Testing

@testable import Models

/// A card says everything that is known of a version, and says so where something is not.
@Suite struct CardTests {
    private func fullHeader() -> ArtifactHeader {
        var header = World.header(.global)
        header.jobID = "job-9"
        header.version = 2
        header.parent = 1
        header.labelsAsOfMilliseconds = 1_770_000_000_000
        header.gate = [GateCheck("alert_rate", 0.02, .atMost, 0.01)]
        header.candidates = [
            CandidateJudgement(name: "forest", features: "all", measures: ["auroc": 0.9], isChosen: true)
        ]
        header.deciles = [HoldoutDecile(rows: 10, frauds: 3, injected: 9, highestScore: -0.7)]
        header.metrics = [
            "holdout_rows": 10, "labelled_frauds": 7, "score_shift": 0.1, "score_stability": 0.5,
        ]
        return header
    }

    @Test func everyHeadingHasWords() throws {
        var poor = World.header(.user("u"))
        poor.metrics = [:]
        poor.parameters = [:]
        for header in [fullHeader(), poor] {
            let card = ModelCard(header, sha256: "00ff", changes: [], ancestors: [])
            #expect(card.headings.count == 13)
            let parts = card.markdown.components(separatedBy: "\n## ").dropFirst()
            #expect(parts.count == card.headings.count)
            for part in parts {
                let words = part.split(separator: "\n").dropFirst().joined()
                #expect(words.contains { $0.isLetter }, "\(part)")
            }
            let blocks = card.html.components(separatedBy: "<h2>").dropFirst()
            #expect(blocks.allSatisfy { $0.contains("<p>") || $0.contains("<td>") || $0.contains("<li>") })
        }
    }

    @Test func itSaysWhatTheHeaderAndTheHistoryKnow() throws {
        let change = ModelChange(
            userID: nil, sequence: 1, from: 1, to: 2, by: "somebody", reason: "because", timeMilliseconds: 0)
        let text = ModelCard(
            fullHeader(), sha256: "00ff", changes: [change], ancestors: [World.header(.global)]
        ).markdown
        for words in [
            "2026-01-01 to 2026-01-31", "2026-02-02T02:40:00Z", "job-9", "00ff", "somebody", "because",
            "did not pass the gate", "the ranking of alerts differs", "1, the most unusual", "active version",
            "7 labelled frauds",
        ] {
            #expect(text.contains(words), "\(words)")
        }
    }

    @Test func textsFromOutsideStayTexts() throws {
        var header = World.header(.user("<script>alert(1)</script> | x\n# y"))
        header.parameters = ["a|b": "<img src=x>"]
        let card = ModelCard(header, sha256: "", changes: [], ancestors: [])
        #expect(!card.html.contains("<script"))
        #expect(!card.html.contains("<img"))
        #expect(!card.markdown.contains("<script"))
        #expect(!card.markdown.contains("\n# y"))
    }

    @Test func headersWithDecilesAreReadAsTheyWereWritten() throws {
        let header = fullHeader()
        let json = header.json()
        let read = try json.withUnsafeBytes { try ArtifactHeader(json: $0) }
        #expect(read == header)
    }

    @Test func theAncestorsAreFoundInTheStore() throws {
        let world = try World()
        let process = try world.process()
        for parent in [nil, 1, 2] as [Int?] {
            var header = World.header(.global)
            header.parent = parent
            header.jobID = "job-\(parent ?? 0)"
            _ = try world.store.publish(header, payload: try World.payload())
        }
        let card = try #require(try process.promotion.card(of: .global, version: 3))
        for job in ["job-0", "job-1", "job-2"] { #expect(card.markdown.contains(job)) }
        #expect(try process.promotion.card(of: .global, version: 9) == nil)
    }
}
