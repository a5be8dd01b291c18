import Foundation
import Testing

@testable import Management

/// Every metric is described once, and whatever is shown or alerted on is a metric.
@Suite struct MetricTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    private static func names(in text: String) -> Set<String> {
        Set(text.matches(of: /\b(ml|process)_[a-z0-9_]+/).map { String($0.output.0) })
    }

    @Test func everyMetricInTheSourcesIsDescribed() throws {
        let files = FileManager.default.enumerator(
            at: Self.root.appending(path: "Sources"), includingPropertiesForKeys: nil)
        var found: Set<String> = []
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift", let text = try? String(contentsOf: file, encoding: .utf8)
            else { continue }
            found.formUnion(
                text.matches(of: /(?:label: |set\(\s*)"((?:ml|process)_[a-z0-9_]+)"/).map { String($0.1) })
        }
        let described = Set(MetricDescription.all.map(\.name))
        #expect(found.subtracting(described) == [], "describe them in MetricDescription.all")
        #expect(described.subtracting(found) == [], "nobody reports these")
        #expect(MetricDescription.all.count == described.count)
    }

    @Test func docsListThem() throws {
        #expect(
            try Self.text("docs/metrics.md") == metricDocumentation(),
            "write it anew: ml-service api --metrics > docs/metrics.md")
    }

    /// A dashboard or an alert on a metric that is called otherwise is silent for ever.
    @Test(arguments: [
        "deploy/grafana/ml-service.json", "deploy/prometheus/alerts.yaml",
        "deploy/prometheus/alerts.test.yaml", "docs/operations.md",
    ])
    func whatIsAskedForExists(path: String) throws {
        let parts = MetricDescription.all.flatMap { metric in
            [metric.name]
                + (metric.kind == .histogram ? ["_bucket", "_sum", "_count"].map { metric.name + $0 } : [])
        }
        let asked = Self.names(in: try Self.text(path))
        #expect(asked.count > 3)
        #expect(asked.subtracting(parts) == [])
    }

    @Test func theDashboardIsJSONWithQueriesInEveryPanel() throws {
        let object = try JSONSerialization.jsonObject(
            with: Data(Self.text("deploy/grafana/ml-service.json").utf8))
        let panels = try #require((object as? [String: Any])?["panels"] as? [[String: Any]])
        #expect(panels.count > 15)
        for panel in panels {
            let targets = try #require(panel["targets"] as? [[String: Any]])
            #expect(!targets.isEmpty && targets.allSatisfy { ($0["expr"] as? String)?.isEmpty == false })
        }
    }

    @Test func everyAlertHasItsRunbook() throws {
        let rules = try Self.text("deploy/prometheus/alerts.yaml")
        let alerts = rules.matches(of: /alert: (\w+)/).map { String($0.1) }
        let runbooks = rules.matches(of: /runbook: docs\/operations.md#(\w+)/).map { String($0.1) }
        #expect(alerts.count > 10)
        #expect(runbooks == alerts.map { $0.lowercased() })
        let headings = Set(
            try Self.text("docs/operations.md").matches(of: /(?m)^### (\w+)$/).map { String($0.1) })
        #expect(headings == Set(alerts))
        let tested = try Self.text("deploy/prometheus/alerts.test.yaml")
        for alert in alerts { #expect(tested.contains(alert), "\(alert) is not tested") }
    }
}
