import CoreMetrics
import Synchronization

/// Keeps what swift-metrics reports and writes it as Prometheus text (exposition format 0.0.4).
///
/// Counters become counters, gauges gauges, timers and recorders summaries without quantiles: a sum and a
/// count (timers in seconds). Thread-safe. A label with the same dimensions is one series.
public final class PrometheusRegistry: MetricsFactory, Sendable {
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
        find(aggregate ? .summary : .gauge, label, dimensions)
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        find(.summary, label, dimensions)
    }

    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}

    private func find(_ kind: Series.Kind, _ label: String, _ dimensions: [(String, String)]) -> Series {
        let key = Key(name: Self.name(label), labels: Self.labels(dimensions))
        return series.withLock { series in
            if let found = series[key] { return found }
            let made = Series(kind)
            series[key] = made
            return made
        }
    }

    /// The text of all series, sorted by name.
    public func text() -> String {
        let all = series.withLock { $0.sorted { $0.key < $1.key } }
        var text = ""
        var previous = ""
        for (key, series) in all {
            if key.name != previous { text += "# TYPE \(key.name) \(series.kind.rawValue)\n" }
            previous = key.name
            let (value, count) = series.values
            if series.kind == .summary {
                text += "\(key.name)_sum\(key.labels) \(value)\n\(key.name)_count\(key.labels) \(count)\n"
            } else {
                text += "\(key.name)\(key.labels) \(Self.number(value))\n"
            }
        }
        return text
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    private static func name(_ label: String) -> String {
        String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    private static func labels(_ dimensions: [(String, String)]) -> String {
        guard !dimensions.isEmpty else { return "" }
        let pairs = dimensions.sorted { $0.0 < $1.0 }.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                .replacing("\n", with: "\\n")
            return "\(Self.name(name))=\"\(escaped)\""
        }
        return "{\(pairs.joined(separator: ","))}"
    }
}

/// One series: what it counts or what it was last set to.
final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    enum Kind: String { case counter, gauge, summary }

    let kind: Kind
    private let state = Mutex((value: 0.0, count: 0))

    init(_ kind: Kind) { self.kind = kind }

    var values: (value: Double, count: Int) { state.withLock { $0 } }

    func increment(by amount: Int64) { add(Double(amount)) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }
    func reset() { replace(0) }
    func set(_ value: Int64) { replace(Double(value)) }
    func set(_ value: Double) { replace(value) }
    func record(_ value: Int64) { take(Double(value)) }
    func record(_ value: Double) { take(value) }
    func recordNanoseconds(_ duration: Int64) { add(Double(duration) / 1e9) }

    private func take(_ value: Double) { kind == .gauge ? replace(value) : add(value) }

    private func replace(_ value: Double) { state.withLock { $0.value = value } }

    private func add(_ amount: Double) {
        state.withLock { state in
            state.value += amount
            state.count += 1
        }
    }
}
