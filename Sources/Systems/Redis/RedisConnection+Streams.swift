/// One entry of a stream.
public struct RedisStreamEntry: Sendable, Hashable {
    /// `1526919030474-55`: milliseconds of the server's clock and a number within them. Ascending.
    public let id: String
    public let fields: [Field]

    public init(id: String, fields: [Field]) {
        self.id = id
        self.fields = fields
    }

    public struct Field: Sendable, Hashable {
        public let name: String
        public let value: [UInt8]

        public init(name: String, value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// The value of the first field of that name, as text.
    public func text(_ name: String) -> String? {
        fields.first { $0.name == name }.map { String(decoding: $0.value, as: UTF8.self) }
    }
}

extension RedisConnection {
    /// Appends an entry to a stream, and lets Redis drop the oldest once there are clearly more than `maximumLength`.
    ///
    /// - Returns: The new entry's id.
    @discardableResult
    public func addToStream(
        key: String, fields: [RedisStreamEntry.Field], maximumLength: Int
    ) throws(RedisError) -> String {
        var arguments: RedisArguments = [
            "XADD", .text(key), "MAXLEN", "~", .integer(max(1, maximumLength)), "*",
        ]
        for field in fields {
            arguments.append(.text(field.name))
            arguments.append(.bytes(field.value))
        }
        guard let id = try command(arguments).text else { throw strange("XADD", "no id") }
        return id
    }

    /// Reads entries that come after the one with id `after`, the oldest first.
    ///
    /// Entries that the stream has dropped since are passed over without a word.
    ///
    /// - Parameters:
    ///   - after: An id; `0` for the whole stream; `$` for what comes after this call, which is only right when nothing
    ///     that came before matters.
    ///   - count: At most so many entries.
    ///   - blockMilliseconds: How long to wait while there is nothing; nil: not at all.
    /// - Returns: Nothing when nothing came.
    public func readStream(
        key: String, after: String, count: Int, blockMilliseconds: Int? = nil
    ) throws(RedisError) -> [RedisStreamEntry] {
        var arguments: RedisArguments = ["XREAD", "COUNT", .integer(max(1, count))]
        // To Redis 0 means for ever.
        let wait = blockMilliseconds.map { max(1, $0) }
        if let wait { arguments.append(contentsOf: ["BLOCK", .integer(wait)]) }
        arguments.append(contentsOf: ["STREAMS", .text(key), .text(after)])
        let reply = try command(arguments, additionalTimeoutMilliseconds: wait ?? 0)
        if reply.isNull { return [] }
        // An array of streams, each a name and an array of entries.
        guard let stream = reply.array?.first?.array, stream.count == 2, let entries = stream[1].array else {
            throw strange("XREAD", "no stream")
        }
        var found: [RedisStreamEntry] = []
        for entry in entries {
            guard let parsed = Self.entry(entry) else { throw strange("XREAD", "no entry") }
            found.append(parsed)
        }
        return found
    }

    private static func entry(_ reply: RedisReply) -> RedisStreamEntry? {
        guard let parts = reply.array, parts.count == 2, let id = parts[0].text else { return nil }
        // An entry that was deleted while it was being read has no fields.
        let flat = parts[1].array ?? []
        guard flat.count.isMultiple(of: 2) else { return nil }
        var fields: [RedisStreamEntry.Field] = []
        for index in stride(from: 0, to: flat.count, by: 2) {
            guard let name = flat[index].text, let value = flat[index + 1].bytes else { return nil }
            fields.append(RedisStreamEntry.Field(name: name, value: value))
        }
        return RedisStreamEntry(id: id, fields: fields)
    }

    private func strange(_ command: String, _ reason: String) -> RedisError {
        RedisError(.protocol("\(reason) in the answer to \(command)"), address: address.description)
    }
}
