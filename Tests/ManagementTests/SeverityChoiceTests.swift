import Foundation
import Testing

@testable import Management

/// Alerts lie between 0.5 and 0.8: whoever chooses or counts by severity finds some.
@Suite struct SeverityChoiceTests {
    @Test func theConsoleOffersWhatTheAPITakes() throws {
        let endpoint = try #require(anomalyEndpoints().first { $0.name == "anomalies" })
        guard case .choice(let choices)? = endpoint.parameters.first(where: { $0.name == "severity" })?.kind
        else {
            Issue.record("severity is no choice")
            return
        }
        #expect(choices.allSatisfy { (0.5..<0.8).contains(Double($0) ?? 0) })
        let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Management/Console/Assets/console.html")
        let text = try String(contentsOf: page, encoding: .utf8)
        let select = try #require(text.firstMatch(of: /<select name="severity">(.*?)<\/select>/)).1
        let offered = select.matches(of: /<option>([0-9.]+)<\/option>/).map { String($0.1) }
        #expect(offered == choices)
    }

    @Test func theHistogramTellsAlertsApart() throws {
        let metric = try #require(MetricDescription.all.first { $0.name == "ml_anomaly_severity" })
        #expect(metric.bounds.count { (0.5...0.8).contains($0) } >= 6)
        #expect(metric.bounds == metric.bounds.sorted() && metric.bounds.last == 1)
    }
}
