import Foundation
import Testing

/// Metrics, alert rules and the dashboard as Prometheus' own tools see them.
@Suite struct MonitoringTests {
    private static let env = URL(filePath: "/usr/bin/env")

    @Test func promtoolFindsNothingAgainstTheMetricsOfARun() async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(
            at: Fixtures.folder.appending(path: "store"), to: folder.file("store"))
        let service = try await ServiceProcess(
            settings: [
                "stream.file": Fixtures.folder.appending(path: "stream.jsonl").path,
                "store.uri": folder.file("store").path, "flood.seconds": "1",
            ], folder: folder.url)
        try await waitUntil("the stream has ended and drift is told", timeoutSeconds: 180) {
            let isFinished = try await service.get("/readyz").value("state") as? String == "finished"
            return try await service.get("/metrics").text.contains("ml_model_alert_rate") && isFinished
        }
        _ = try await service.get("/v1/models")
        let metrics = try await service.get("/metrics")
        try metrics.body.write(to: folder.file("metrics"))
        let check = try Command.output(
            Self.env, ["promtool", "check", "metrics"], input: folder.file("metrics"))
        #expect(check.status == 0 && check.text.isEmpty, "\(check.text)")
        for line in [
            "# HELP ml_transactions_total ", "# UNIT ml_stage_seconds seconds",
            "ml_stage_seconds_bucket{stage=\"score\",le=",
            "ml_dead_letters_total{reason=\"not-json\"}",
            "ml_transactions_scored_by_fallback_total{reason=\"no-user-model\"}",
            "ml_ready 1", "ml_http_requests_total{route=\"models\",status=\"2xx\"} 1",
            "process_resident_memory_bytes ",
        ] { #expect(metrics.text.contains(line), "\(line)") }
        #expect(!metrics.text.contains("user-0"))
        try PythonScript.run("scrape.py", ["\(service.baseURL)/metrics"])
        #expect(try await service.interrupt() == 0)
    }

    @Test func theRulesAreRightAndFireWhenTheyShould() throws {
        let rules = ServiceProcess.root.appending(path: "deploy/prometheus").path
        for arguments in [
            ["check", "rules", "\(rules)/alerts.yaml"], ["test", "rules", "\(rules)/alerts.test.yaml"],
        ] {
            let outcome = try Command.output(Self.env, ["promtool"] + arguments)
            #expect(outcome.status == 0, "\(outcome.text)")
        }
    }

    /// From the log's end as the broker knows it.
    @Test func theLagOfEachPartitionIsTold() async throws {
        let deployment = try Deployment(partitions: 2)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        try deployment.produce(try Array(Fixtures.lines("stream.jsonl").prefix(400)))
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all"]), folder: deployment.folder)
        try await waitUntil("both partitions are delivered to their ends", timeoutSeconds: 180) {
            let metrics = try await service.get("/metrics").text
            return metrics.contains("ml_consumer_lag_records{partition=\"0\"} 0\n")
                && metrics.contains("ml_consumer_lag_records{partition=\"1\"} 0\n")
        }
        let metrics = try await service.get("/metrics").text
        #expect(!metrics.contains("ml_verdict_delay_seconds_count 0"))
        #expect(metrics.contains("ml_verdict_delay_seconds_bucket{le=\"+Inf\"}"))
        #expect(try await service.interrupt() == 0)
    }
}
