import CoreMetrics
import Synchronization

/// Keeps what swift-metrics reports and writes it as Prometheus text (exposition format 0.0.4, or OpenMetrics 1.0).
///
/// Counters become counters, meters and gauges gauges, timers and recorders histograms (timers in seconds), with the
/// buckets of `MetricDescription`. Thread-safe. A label with the same dimensions is one series.
public final class PrometheusRegistry: MetricsFactory, Sendable {
    enum Format {
        /// 0.0.4, which everything reads.
        case text
        case openMetrics
    }

    struct Key: Hashable, Comparable {
        let name: String
        let labels: String

        static func < (a: Key, b: Key) -> Bool { (a.name, a.labels) < (b.name, b.labels) }
    }

    private let series = Mutex<[Key: Series]>([:])

    public init() {}

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        find(.counter, label, dimensions)
    }

    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        find(.counter, label, dimensions)
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        find(.gauge, label, dimensions)
    }

    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        find(aggregate ? .histogram : .gauge, label, dimensions)
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        find(.histogram, label, dimensions)
    }

    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}

    /// A gauge of something that is there no more is not told any more: a partition that another worker reads.
    public func destroyMeter(_ handler: any MeterHandler) {
        guard let gone = handler as? Series else { return }
        series.withLock { series in series = series.filter { $0.value !== gone } }
    }

    private func find(
        _ kind: MetricDescription.Kind, _ label: String, _ dimensions: [(String, String)]
    ) -> Series {
        let key = Key(name: Self.name(label), labels: Self.labels(dimensions))
        return series.withLock { series in
            if let found = series[key] { return found }
            let bounds = MetricDescription.of(key.name)?.bounds ?? []
            let made = Series(kind, bounds: bounds.isEmpty ? MetricDescription.secondBounds : bounds)
            series[key] = made
            return made
        }
    }

    // MARK: Writing

    /// The text of all series, sorted by name.
    func text(_ format: Format = .text) -> String {
        let all = series.withLock { $0.sorted { $0.key < $1.key } }
        var text = ""
        var previous = ""
        for (key, series) in all {
            if key.name != previous { text += Self.head(key.name, series.kind, format) }
            previous = key.name
            text += series.lines(key)
        }
        return format == .openMetrics ? text + "# EOF\n" : text
    }

    private static func head(_ name: String, _ kind: MetricDescription.Kind, _ format: Format) -> String {
        let description = MetricDescription.of(name)
        // In OpenMetrics the family of a counter is called without its suffix.
        let family =
            format == .openMetrics && kind == .counter && name.hasSuffix("_total")
            ? String(name.dropLast(6)) : name
        var head = "# TYPE \(family) \(kind.rawValue)\n"
        if let unit = description?.unit { head += "# UNIT \(family) \(unit)\n" }
        if let help = description?.help { head = "# HELP \(family) \(help)\n" + head }
        return head
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    private static func name(_ label: String) -> String {
        String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    /// `a="1",b="2"`, without the braces.
    private static func labels(_ dimensions: [(String, String)]) -> String {
        dimensions.sorted { $0.0 < $1.0 }.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                .replacing("\n", with: "\\n")
            return "\(Self.name(name))=\"\(escaped)\""
        }.joined(separator: ",")
    }
}

/// One series: what it counts, what it was last set to, or how its values are distributed.
final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    private struct State {
        var value = 0.0
        var count = 0
        /// How many values lie in each bucket; the last is beyond all bounds.
        var buckets: [Int]
    }

    let kind: MetricDescription.Kind
    private let bounds: [Double]
    private let state: Mutex<State>

    init(_ kind: MetricDescription.Kind, bounds: [Double]) {
        self.kind = kind
        self.bounds = bounds
        state = Mutex(State(buckets: kind == .histogram ? [Int](repeating: 0, count: bounds.count + 1) : []))
    }

    func increment(by amount: Int64) { add(Double(amount)) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }
    func reset() { replace(0) }
    func set(_ value: Int64) { replace(Double(value)) }
    func set(_ value: Double) { replace(value) }
    func record(_ value: Int64) { take(Double(value)) }
    func record(_ value: Double) { take(value) }
    func recordNanoseconds(_ duration: Int64) { take(Double(duration) / 1e9) }

    private func take(_ value: Double) {
        guard kind == .histogram else { return replace(value) }
        let place = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.value += value
            state.count += 1
            state.buckets[place] += 1
        }
    }

    private func replace(_ value: Double) { state.withLock { $0.value = value } }

    private func add(_ amount: Double) { state.withLock { $0.value += amount } }

    func lines(_ key: PrometheusRegistry.Key) -> String {
        let (value, count, buckets) = state.withLock { ($0.value, $0.count, $0.buckets) }
        let labels = key.labels.isEmpty ? "" : "{\(key.labels)}"
        guard kind == .histogram else { return "\(key.name)\(labels) \(PrometheusRegistry.number(value))\n" }
        var text = ""
        var below = 0
        let comma = key.labels.isEmpty ? "" : ","
        for (index, bucket) in buckets.enumerated() {
            below += bucket
            let bound = index < bounds.count ? PrometheusRegistry.number(bounds[index]) : "+Inf"
            text += "\(key.name)_bucket{\(key.labels)\(comma)le=\"\(bound)\"} \(below)\n"
        }
        return text + "\(key.name)_sum\(labels) \(value)\n\(key.name)_count\(labels) \(count)\n"
    }
}
