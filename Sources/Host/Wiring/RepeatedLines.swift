import Logging
import Synchronization

/// Passes a line of the log on as nobody can forge it (`printable`), and once in a while, however often it is said: a broker that is away is news once, not
/// thirty times a second.
struct RepeatedLines: LogHandler {
    private var next: any LogHandler
    private let memory: Memory

    init(_ next: any LogHandler, memory: Memory = Memory()) {
        self.next = next
        self.memory = memory
    }

    var logLevel: Logger.Level {
        get { next.logLevel }
        set { next.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { next.metadata }
        set { next.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { next[metadataKey: key] }
        set { next[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        guard let withheld = memory.admit(event, at: .now) else { return }
        var event = event
        event.message = "\(printable("\(event.message)"))"
        event.metadata = event.metadata?.mapValues(\.printable)
        guard withheld > 0 else { return next.log(event: event) }
        event.metadata = (event.metadata ?? [:]).merging(["times": "\(withheld + 1)"]) { $1 }
        next.log(event: event)
    }

    /// What was said lately; shared by the copies of a handler. Bounded.
    final class Memory: Sendable {
        private struct Said {
            var at: ContinuousClock.Instant
            var withheld = 0
        }

        static let interval = Duration.seconds(30)
        private static let maximumLines = 256
        private let lines = Mutex<[String: Said]>([:])

        /// - Returns: How often the line was withheld since it was last passed on; nil: it is withheld now.
        func admit(_ event: LogEvent, at now: ContinuousClock.Instant) -> Int? {
            let line = Self.text(event)
            return lines.withLock { lines in
                if let said = lines[line], now - said.at < Self.interval {
                    lines[line]?.withheld += 1
                    return nil
                }
                if lines[line] == nil, lines.count >= Self.maximumLines { Self.thin(&lines, at: now) }
                return lines.updateValue(Said(at: now), forKey: line)?.withheld ?? 0
            }
        }

        /// Makes room. Among many lines that come once, as when hundreds of models are promoted, those that come again are
        /// known by having done so: they stay, and of the others the newest.
        private static func thin(_ lines: inout [String: Said], at now: ContinuousClock.Instant) {
            lines = lines.filter { now - $0.value.at < interval }
            guard lines.count >= maximumLines else { return }
            let order = lines.sorted {
                ($0.value.withheld > 0 ? 1 : 0, $0.value.at) < ($1.value.withheld > 0 ? 1 : 0, $1.value.at)
            }
            for (line, _) in order.prefix(lines.count / 2) { lines[line] = nil }
        }

        /// Lines that differ in a duration alone ("after 3ms") are the same.
        private static func text(_ event: LogEvent) -> String {
            let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let text = "\(event.level) \(event.message) \(metadata.joined(separator: " "))"
            return text.replacing(/\d+ ?ms\b/, with: "ms")
        }
    }
}
