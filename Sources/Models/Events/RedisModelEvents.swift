import Foundation
import Redis

/// The Redis stream `<prefix>events`, with the hash `<prefix>current_model_version` beside it for people: fields
/// `global` and `user:` with the id.
///
/// Each entry has a number, one more than the entry before it has. A follower that finds another one than it expects
/// knows that the stream was trimmed, or lost with its Redis, before it had read everything.
public final class RedisModelEvents: ModelEvents {
    private let stream: String
    private let counter: String
    private let current: String
    /// Entries that are kept, about.
    private static let maximumLength = 10_000
    /// More changes than this are one entry that sends everybody to the catalogue.
    static let maximumChanges = 1_000

    /// Reading waits, so it has a connection of its own.
    private let writer: RedisConnection
    private let reader: RedisConnection

    /// - Parameter prefix: Before the names of the keys, so that services can share a Redis.
    public init(address: RedisAddress, prefix: String = "ml:") {
        stream = prefix + "events"
        counter = prefix + "events:number"
        current = prefix + "current_model_version"
        writer = RedisConnection(address: address)
        reader = RedisConnection(address: address)
    }

    // Keys: stream, counter. Arguments: maximum length, then a change each; none: read the catalogue.
    private static let append = RedisScript(
        """
        local changes = {unpack(ARGV, 2)}
        if #changes == 0 then changes = {''} end
        for _, change in ipairs(changes) do
            local number = redis.call('INCR', KEYS[2])
            redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'number', number, 'change', change)
        end
        return #changes
        """)

    public func publish(_ changes: [ModelChange]) throws {
        for start in stride(from: 0, to: changes.count, by: Self.maximumChanges) {
            try setCurrent(changes[start..<min(start + Self.maximumChanges, changes.count)])
        }
        var arguments: RedisArguments = [.integer(Self.maximumLength)]
        if changes.count <= Self.maximumChanges {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            for change in changes { arguments.append(.bytes([UInt8](try encoder.encode(change)))) }
        }
        _ = try writer.evaluate(
            Self.append, keys: [.text(stream), .text(counter)], arguments: arguments)
    }

    public func erase(_ tenant: Tenant) throws -> Int {
        guard tenant.userID != nil else { return 0 }
        try writer.command(["HDEL", .text(current), .text(tenant.name)])
        var removed = 0
        var after = "0-0"
        let decoder = JSONDecoder()
        while true {
            let entries = try writer.readStream(key: stream, after: after, count: 1_000)
            guard let last = entries.last else { break }
            after = last.id
            let named = entries.filter { entry in
                let json = entry.fields.first { $0.name == "change" }?.value ?? []
                return (try? decoder.decode(ModelChange.self, from: Data(json)))?.tenant == tenant
            }
            guard !named.isEmpty else { continue }
            var delete: RedisArguments = ["XDEL", .text(stream)]
            for entry in named { delete.append(.text(entry.id)) }
            try writer.command(delete)
            removed += named.count
        }
        // Without a change: everybody reads the catalogue.
        _ = try writer.evaluate(
            Self.append, keys: [.text(stream), .text(counter)], arguments: [.integer(Self.maximumLength)])
        return removed
    }

    private func setCurrent(_ changes: ArraySlice<ModelChange>) throws {
        var set: RedisArguments = ["HSET", .text(current)]
        var deleted: RedisArguments = ["HDEL", .text(current)]
        for change in changes {
            // A user may be called `global`.
            let name = change.tenant.name
            if let version = change.to {
                set.append(name)
                set.append(.integer(version))
            } else {
                deleted.append(name)
            }
        }
        for command in [set, deleted] where command.count > 2 { try writer.command(command) }
    }

    public func read(after cursor: String?, waitMilliseconds: Int) throws -> (
        changes: [ModelChange], cursor: String
    ) {
        guard let cursor else { return ([], try end().description) }
        guard let place = Place(cursor) else { throw ModelEventsError.placeLost }
        let entries = try reader.readStream(
            key: stream, after: place.id, count: 1_000, blockMilliseconds: waitMilliseconds)
        let (changes, end) = try Self.changes(in: entries, after: place)
        return (changes, end.description)
    }

    /// What entries say that come right after a place.
    ///
    /// - Throws: `ModelEventsError.placeLost` when they do not, or are none of ours.
    static func changes(
        in entries: [RedisStreamEntry], after place: Place
    ) throws -> (changes: [ModelChange], end: Place) {
        var place = place
        let decoder = JSONDecoder()
        var changes: [ModelChange] = []
        for entry in entries {
            guard let number = entry.text("number").flatMap(Int.init), number == place.number &+ 1,
                let json = entry.fields.first(where: { $0.name == "change" })?.value, !json.isEmpty,
                let change = try? decoder.decode(ModelChange.self, from: Data(json))
            else { throw ModelEventsError.placeLost }
            changes.append(change)
            place = Place(id: entry.id, number: number)
        }
        return (changes, place)
    }

    /// Where the stream ends now. `$` would lose what comes between two reads.
    private func end() throws -> Place {
        let reply = try reader.command(["XREVRANGE", .text(stream), "+", "-", "COUNT", 1])
        guard let entry = reply.array?.first?.array, let id = entry.first?.text else {
            // An empty stream goes on with any number; the counter knows which, if it is still there.
            let number = try reader.command(["GET", .text(counter)]).text.flatMap(Int.init)
            return Place(id: "0-0", number: number ?? 0)
        }
        let fields = entry.last?.array ?? []
        let number = fields.count > 1 ? fields[1].text.flatMap(Int.init) : nil
        return Place(id: id, number: number ?? 0)
    }

    /// A place in the stream: the entry read last and its number.
    struct Place: CustomStringConvertible, Equatable {
        let id: String
        let number: Int

        init(id: String, number: Int) {
            self.id = id
            self.number = number
        }

        init?(_ cursor: String) {
            let parts = cursor.split(separator: "/")
            guard parts.count == 2, let number = Int(parts[1]) else { return nil }
            self.init(id: String(parts[0]), number: number)
        }

        var description: String { "\(id)/\(number)" }
    }
}
