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
        registry.makeTimer(label: "ml_stage_seconds", dimensions: [("stage", "score")]).recordNanoseconds(
            2_500_000)
        #expect(
            registry.text() == """
                # TYPE ml_anomalies_total counter
                ml_anomalies_total 5
                # TYPE ml_lag gauge
                ml_lag{a="say \\"x\\"\\n",partition="0"} 7.5
                # TYPE ml_stage_seconds summary
                ml_stage_seconds_sum{stage="score"} 0.0025
                ml_stage_seconds_count{stage="score"} 1

                """)
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
