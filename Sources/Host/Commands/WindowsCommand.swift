import ArgumentParser
import Foundation
import Logging
import Serving
import Training
import Transactions

struct Windows: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make users' windows whole again, fill them before the first start, remove one.",
        discussion: """
            Windows are in Redis (redis.url), and may be served meanwhile; or in the snapshot of a service that does
            not run now.
            """,
        subcommands: [Rebuild.self, Warm.self, Remove.self])

    /// The store of the service's windows.
    ///
    /// - Parameter body: Is told also whether the stream's own offsets are known to the store.
    fileprivate static func withStore<Result>(
        _ settings: Settings, _ body: (any WindowStore) throws -> Result
    ) throws -> Result {
        if settings.optionalText("redis.url") != nil { return try body(try Streams.redisWindows(settings)) }
        let data = try DataDirectory(settings.text("data.directory"))
        let memory = MemoryWindowStore()
        let path = data.file("windows.snapshot")
        let snapshot = try memory.restore(from: path)
        let result = try body(memory)
        try memory.snapshot(to: path, checkpoint: snapshot?.checkpoint ?? [])
        return withExtendedLifetime(data) { result }
    }

    fileprivate static func lakeWindows(_ settings: Settings) throws -> LakeWindows {
        let uri = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        return LakeWindows(
            lake: try Parts.objectStore(uri, settings), scratch: FileManager.default.temporaryDirectory.path,
            zone: try settings.zone(), badFiles: settings.badFiles())
    }

    struct Rebuild: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make windows whole that are marked windows-lost, window-behind or window-damaged.",
            discussion: """
                From the stream (--from topic: stream.brokers or stream.file) windows come out bit for bit as if
                nothing had happened, as far as the topic reaches back. From the lake only users without a window, and
                those whose window begins after what the lake has, get what is missing.

                EXAMPLE
                  ml-service windows rebuild --from topic --config service.json
                """)

        enum Source: String, ExpressibleByArgument { case topic, lake }

        @OptionGroup var common: CommonOptions

        @Option(help: "topic or lake.")
        var from: Source

        @Option(help: "Only these users, comma-separated.")
        var users: String?

        @Option(help: "Where the lake is (lake.uri).")
        var lake: String?

        @Option(help: "From the lake: only what happened before this time (2026-03-01T00:00:00Z).")
        var until: String?

        func run() async throws {
            let settings = try await common.settings(["lake.uri": lake])
            let end = try until.map(moment)
            let chosen = users.map { Set($0.split(separator: ",").map(String.init)) }
            let source = from
            let display = ProgressDisplay()
            let lines = try await blocking {
                try Windows.withStore(settings) { store in
                    switch source {
                    case .topic: try Self.fromStream(settings, store, users: chosen)
                    case .lake: try Windows.fill(settings, store, before: end, users: chosen, display)
                    }
                }
            }
            display.finish()
            for line in lines { print(line) }
        }

        private static func fromStream(
            _ settings: Settings, _ store: any WindowStore, users: Set<String>?
        ) throws -> [String] {
            let logger = Parts.logger(settings)
            let stream = try Streams.rereading(settings, logger: logger)
            defer { stream.close() }
            let outcome = try WindowRebuild(
                store, from: stream, settings: Streams.windowStage(settings), users: users, quietWaits: 500,
                history: Windows.history(settings, users: users, logger: logger), zone: try settings.zone(),
                schemas: try Parts.schemaRegistry(settings, logger: logger)
            ).run()
            var lines = [
                "\(outcome.records) records read: \(outcome.rebuilt) windows rebuilt, \(outcome.unchanged) were right"
            ]
            if outcome.missed > 0 {
                lines.append(
                    "\(outcome.missed) users were served all the time and keep their marks: run it again, or while the service is stopped"
                )
            }
            if !outcome.shortened.isEmpty {
                let partitions = outcome.shortened.map(String.init).joined(separator: ", ")
                lines.append(
                    "partitions \(partitions) no longer begin at their first record: what came before it stays marked"
                )
            }
            return lines
        }
    }

    struct Warm: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fill the windows of users who have none from the lake.",
            discussion: """
                Before a service begins to read its stream. --until is where the stream begins: what the lake has from
                then on comes with the stream, and must not be counted twice.

                EXAMPLE
                  ml-service windows warm --lake demo/lake --until 2026-02-15T00:00:00Z
                """)

        @OptionGroup var common: CommonOptions

        @Option(help: "Where the lake is (lake.uri).")
        var lake: String?

        @Option(help: "Only what happened before this time; the whole lake when left out.")
        var until: String?

        @Option(help: "Only these users, comma-separated.")
        var users: String?

        func run() async throws {
            let settings = try await common.settings(["lake.uri": lake])
            let end = try until.map(moment)
            let chosen = users.map { Set($0.split(separator: ",").map(String.init)) }
            let display = ProgressDisplay()
            let lines = try await blocking {
                try Windows.withStore(settings) {
                    try Windows.fill(settings, $0, before: end, users: chosen, display)
                }
            }
            display.finish()
            for line in lines { print(line) }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a user's window, and what was kept of a damaged one.",
            discussion: """
                EXAMPLE
                  ml-service windows remove user-000001
                """)

        @OptionGroup var common: CommonOptions

        @Argument(help: "The user's id.")
        var user: String

        func run() async throws {
            let settings = try await common.settings()
            let user = user
            let removed = try await blocking {
                try Windows.withStore(settings) { try $0.remove(userID: user) }
            }
            print(removed == 0 ? "\(user) has no window" : "removed \(removed) of \(user)")
        }
    }

    /// What the lake has of the days before the stream, where the settings say that windows begin with it: serving, and
    /// whoever makes again what it has made.
    ///
    /// - Parameters:
    ///   - users: nil: everybody.
    ///   - logger: Is told what was filled.
    /// - Returns: nil: windows begin empty.
    static func history(_ settings: Settings, users: Set<String>? = nil, logger: Logger) -> WindowHistory? {
        guard settings.optionalText("lake.uri") != nil, settings.text("windows.warm") == "first-start" else {
            return nil
        }
        return WindowHistory { windows, end in
            let found: [String]
            do {
                found = try fill(settings, windows, before: end, users: users, nil)
            } catch let error as TrainingError {
                found = ["\(error)"]
            }
            logger.notice(
                "windows were filled from the lake", metadata: ["result": "\(found.joined(separator: "; "))"])
        }
    }

    /// Fills windows from the lake.
    static func fill(
        _ settings: Settings, _ store: any WindowStore, before end: Int64?, users: Set<String>?,
        _ display: ProgressDisplay?
    ) throws -> [String] {
        var filling = WindowFilling(store)
        let found = try lakeWindows(settings).run(
            before: end, users: users, progress: { display?.show(stage: "windows", fraction: $0) },
            visit: { user, window in try filling.put(window, of: user) })
        try filling.finish()
        let outcome = filling.outcome
        var lines = [
            "\(found.transactions) transactions of \(found.users) users: \(outcome.filled) windows filled, \(outcome.merged) completed, \(outcome.kept) left as they are"
        ]
        if found.skippedRows > 0 {
            lines.append("\(found.skippedRows) rows that are no transactions were passed over")
        }
        if outcome.overlapping > 0 {
            lines.append(
                "\(outcome.overlapping) windows lack records of days that they also hold, and keep their marks: rebuild them --from topic"
            )
        }
        return lines
    }
}

/// Reads a time from the command line.
private func moment(_ text: String) throws -> Int64 {
    guard let time = EventTime.parse(text) else {
        throw UsageError("'\(text)' is no time like 2026-03-01T00:00:00Z")
    }
    return time
}
