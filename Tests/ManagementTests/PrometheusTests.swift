import CoreMetrics
import Testing

@testable import Management

/// What a scraper reads.
@Suite struct PrometheusTests {
    @Test func countersGaugesAndTimersAsPrometheusText() {
        let registry = PrometheusRegistry()
        registry.makeCounter(label: "ml_anomalies_total", dimensions: []).increment(by: 3)
        registry.makeCounter(label: "ml_anomalies_total", dimensions: []).increment(by: 2)
        registry.makeMeter(label: "ml.lag", dimensions: [("partition", "0"), ("a", "say \"x\"\n")]).set(7.5)
        #expect(
            registry.text() == """
                # HELP ml_anomalies_total Verdicts that are anomalies.
                # TYPE ml_anomalies_total counter
                ml_anomalies_total 5
                # TYPE ml_lag gauge
                ml_lag{a="say \\"x\\"\\n",partition="0"} 7.5

                """)
        #expect(registry.text(.openMetrics).contains("# TYPE ml_anomalies counter\nml_anomalies_total 5\n"))
        #expect(registry.text(.openMetrics).hasSuffix("\n# EOF\n"))
    }

    @Test func timersAreHistogramsInSeconds() {
        let registry = PrometheusRegistry()
        let timer = registry.makeTimer(label: "ml_stage_seconds", dimensions: [("stage", "score")])
        for nanoseconds: Int64 in [400_000, 2_500_000, 60_000_000_000] {
            timer.recordNanoseconds(nanoseconds)
        }
        let lines = registry.text().split(separator: "\n")
        #expect(
            lines.prefix(3) == [
                "# HELP ml_stage_seconds Time that each stage takes for a batch.",
                "# TYPE ml_stage_seconds histogram", "# UNIT ml_stage_seconds seconds",
            ])
        for line in [
            #"ml_stage_seconds_bucket{stage="score",le="0.0005"} 1"#,
            #"ml_stage_seconds_bucket{stage="score",le="0.001"} 1"#,
            #"ml_stage_seconds_bucket{stage="score",le="0.0025"} 2"#,
            #"ml_stage_seconds_bucket{stage="score",le="10"} 2"#,
            #"ml_stage_seconds_bucket{stage="score",le="+Inf"} 3"#,
            #"ml_stage_seconds_count{stage="score"} 3"#,
        ] { #expect(lines.contains(line[...])) }
    }

    /// A partition that another worker reads now.
    @Test func aGaugeThatIsDestroyedIsToldNoMore() {
        let registry = PrometheusRegistry()
        let gauge = registry.makeMeter(label: "ml_consumer_lag_records", dimensions: [("partition", "1")])
        registry.makeMeter(label: "ml_consumer_lag_records", dimensions: [("partition", "2")]).set(3.0)
        gauge.set(1.0)
        registry.destroyMeter(gauge)
        #expect(!registry.text().contains("partition=\"1\"") && registry.text().contains("partition=\"2\""))
    }

    @Test func numbersThatAreNoneAreWrittenAsPrometheusReadsThem() {
        let registry = PrometheusRegistry()
        registry.makeMeter(label: "a", dimensions: []).set(Double.nan)
        registry.makeMeter(label: "b", dimensions: []).set(-Double.infinity)
        #expect(registry.text().contains("\na NaN\n") && registry.text().contains("\nb -Inf\n"))
    }

    @Test func countingFromManyThreadsLosesNothing() async {
        let registry = PrometheusRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = registry.makeCounter(label: "n", dimensions: [])
                    for _ in 0..<1_000 { counter.increment(by: 1) }
                }
            }
        }
        #expect(registry.text().contains("\nn 8000\n"))
    }
}
