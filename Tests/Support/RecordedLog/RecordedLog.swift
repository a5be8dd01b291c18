import Logging
import Synchronization

/// What was logged, in order, for tests: `error a message key=value other="a value"`, whatever the level.
public final class RecordedLog: Sendable {
    private let recorded = Mutex<[String]>([])

    public init() {}

    public var lines: [String] { recorded.withLock { $0 } }

    /// The first line that contains a text.
    public func place(of text: String) -> Int? { lines.firstIndex { $0.contains(text) } }

    public var handler: any LogHandler { Handler(log: self) }

    public var logger: Logger { Logger(label: "test") { [handler] _ in handler } }

    private struct Handler: LogHandler {
        let log: RecordedLog
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = (["\(event.level) \(event.message)"] + pairs).joined(separator: " ")
            log.recorded.withLock { $0.append(line) }
        }
    }
}
