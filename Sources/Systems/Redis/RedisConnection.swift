import Synchronization

/// A connection to one Redis server. Every call blocks its thread until the answer is there.
///
/// It connects on the first call. After an error of the connection (not: an error that Redis answered) it
/// is dropped with whatever was under way, and the next call connects anew; waiting between attempts is up to
/// the caller. A command is never sent twice, so an error leaves open whether it was carried out. Safe to use from
/// several threads: their calls take turns, so give a thread that waits in `readStream` a connection of its own.
public final class RedisConnection: Sendable {
    public let address: RedisAddress
    private let session: Mutex<RedisSession>

    /// - Parameters:
    ///   - connectTimeoutMilliseconds: For the connection, and again for logging in.
    ///   - commandTimeoutMilliseconds: For a command or a pipeline from its first byte to the answer's last.
    public init(
        address: RedisAddress, connectTimeoutMilliseconds: Int = 2_000,
        commandTimeoutMilliseconds: Int = 5_000
    ) {
        self.address = address
        session = Mutex(
            RedisSession(
                address: address, connectTimeoutMilliseconds: max(1, connectTimeoutMilliseconds),
                commandTimeoutMilliseconds: max(1, commandTimeoutMilliseconds)))
    }

    /// Sends one command: `["SET", "key", .bytes(value)]`.
    ///
    /// - Throws: Also when Redis answers with an error.
    @discardableResult
    public func command(_ arguments: RedisArguments) throws(RedisError) -> RedisReply {
        try command(arguments, additionalTimeoutMilliseconds: 0)
    }

    func command(
        _ arguments: RedisArguments, additionalTimeoutMilliseconds: Int
    ) throws(RedisError) -> RedisReply {
        try session.withLock { session throws(RedisError) in
            session.begin()
            session.appendCommand(argumentCount: arguments.count)
            try session.exchange(
                [arguments.wire], replyCount: 1, additionalTimeoutMilliseconds: additionalTimeoutMilliseconds)
            return try session.singleReply()
        }
    }

    /// Sends commands in one go and returns their answers in order; an error that Redis answers is among them.
    public func pipeline(_ commands: [RedisArguments]) throws(RedisError) -> [RedisReply] {
        guard !commands.isEmpty else { return [] }
        return try session.withLock { session throws(RedisError) in
            session.begin()
            for command in commands {
                session.appendCommand(argumentCount: command.count)
                session.head += command.wire
            }
            try session.exchange([], replyCount: commands.count)
            var index = 0
            return commands.map { _ in session.tape.reply(at: &index) }
        }
    }

    /// Reads the values of many keys in one round trip, without copying them out.
    ///
    /// - Parameter body: Called for each key in order, once all values have arrived, with the value, whose bytes are valid
    ///   during the call, or nil. It must not use this connection.
    /// - Throws: `RedisError`, or what `body` throws.
    public func getMany(
        keys: RedisArguments, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        guard keys.count > 0 else { return }
        try session.withLock { session in
            session.begin()
            session.appendCommand(argumentCount: 1 + keys.count, ["MGET"])
            try session.exchange([keys.wire], replyCount: 1)
            try session.eachValue(count: keys.count, body)
        }
    }

    /// Runs a script, in one round trip unless the server does not know it yet.
    public func evaluate(
        _ script: RedisScript, keys: RedisArguments, arguments: RedisArguments = []
    ) throws(RedisError) -> RedisReply {
        let argumentCount = 3 + keys.count + arguments.count
        return try session.withLock { session throws(RedisError) in
            session.begin()
            session.appendCommand(
                argumentCount: argumentCount, ["EVALSHA", .text(script.sha1), .integer(keys.count)])
            try session.exchange([keys.wire, arguments.wire], replyCount: 1)
            if session.isAnswer(withCode: "NOSCRIPT") {
                session.begin()
                session.appendCommand(
                    argumentCount: argumentCount, ["EVAL", .text(script.source), .integer(keys.count)])
                try session.exchange([keys.wire, arguments.wire], replyCount: 1)
            }
            return try session.singleReply()
        }
    }

    /// - Throws: When the server cannot be used now.
    public func ping() throws(RedisError) {
        try command(["PING"])
    }

    /// Drops the connection; a later call opens another one.
    public func close() {
        session.withLock { $0.drop() }
    }
}
