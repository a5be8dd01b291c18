import Metrics

/// The gauges of the watch. What is not told again is told no more, so that the figure of a version that served before, or
/// of a feature that only it looked at, does not pass for one of now.
struct WatchGauges {
    private struct Key: Hashable {
        let name: String
        let feature: String?
    }

    private let factory: any MetricsFactory
    /// Those that were told last.
    private var known: [Key: Meter] = [:]
    private var told: Set<Key> = []

    init(_ factory: any MetricsFactory) { self.factory = factory }

    mutating func set(_ name: String, _ value: Double, feature: String? = nil) {
        let key = Key(name: name, feature: feature)
        let meter =
            known[key]
            ?? Meter(label: name, dimensions: feature.map { [("feature", $0)] } ?? [], factory: factory)
        meter.set(value)
        known[key] = meter
        told.insert(key)
    }

    /// Takes away what was not set since the last time.
    mutating func finish() {
        for (key, meter) in known where !told.contains(key) {
            meter.destroy()
            known[key] = nil
        }
        told = []
    }
}
