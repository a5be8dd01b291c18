import Foundation
import Redis
import Synchronization

/// How workers hear of promotions.
public protocol ModelEvents: Sendable {
    func publish(_ changes: [ModelChange]) throws

    /// Changes after a place in the stream, waiting a while for the first. Blocks its thread.
    ///
    /// - Parameter cursor: What the last call gave; nil: from now on.
    func read(after cursor: String?, waitMilliseconds: Int) throws -> (changes: [ModelChange], cursor: String)
}

/// For one process.
public final class InProcessModelEvents: ModelEvents {
    private let log = Mutex<[ModelChange]>([])

    public init() {}

    public func publish(_ changes: [ModelChange]) { log.withLock { $0 += changes } }

    public func read(after cursor: String?, waitMilliseconds: Int) -> (changes: [ModelChange], cursor: String)
    {
        let deadline = ContinuousClock.now + .milliseconds(waitMilliseconds)
        let start = cursor.flatMap { Int($0) } ?? log.withLock { $0.count }
        while true {
            let changes = log.withLock { Array($0.dropFirst(start)) }
            if !changes.isEmpty || ContinuousClock.now >= deadline {
                return (changes, "\(start + changes.count)")
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
    }
}

/// The Redis stream `<prefix>events`, with the hash `current_model_version` beside it for people.
public final class RedisModelEvents: ModelEvents {
    private static let current = "current_model_version"
    /// Followers that fall further behind read the catalogue anew at their next start.
    private static let maximumLength = 100_000

    /// Reading waits, so it has a connection of its own.
    private let writer: RedisConnection
    private let reader: RedisConnection

    private let stream: String

    /// - Parameter prefix: Of the stream's key, so that services can share a Redis.
    public init(address: RedisAddress, prefix: String = "ml:") {
        stream = "\(prefix)events"
        writer = RedisConnection(address: address)
        reader = RedisConnection(address: address)
    }

    public func publish(_ changes: [ModelChange]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        for change in changes {
            let json = String(decoding: try encoder.encode(change), as: UTF8.self)
            try writer.command([
                "XADD", .text(stream), "MAXLEN", "~", .integer(Self.maximumLength), "*", "change",
                .text(json),
            ])
            if let version = change.to {
                try writer.command([
                    "HSET", .text(Self.current), .text(change.tenant.description), .integer(version),
                ])
            } else {
                try writer.command(["HDEL", .text(Self.current), .text(change.tenant.description)])
            }
        }
    }

    public func read(after cursor: String?, waitMilliseconds: Int) throws -> (
        changes: [ModelChange], cursor: String
    ) {
        var cursor = cursor ?? ""
        if cursor.isEmpty { cursor = try lastID() }
        let entries = try reader.readStream(
            key: stream, after: cursor, count: 1_000, blockMilliseconds: waitMilliseconds)
        let decoder = JSONDecoder()
        let changes = entries.compactMap { entry -> ModelChange? in
            guard let field = entry.fields.first(where: { $0.name == "change" }) else { return nil }
            return try? decoder.decode(ModelChange.self, from: Data(field.value))
        }
        return (changes, entries.last?.id ?? cursor)
    }

    /// `$` would lose what comes between two reads; the last id does not.
    private func lastID() throws -> String {
        let reply = try reader.command(["XREVRANGE", .text(stream), "+", "-", "COUNT", 1])
        return reply.array?.first?.array?.first?.text ?? "0-0"
    }
}
