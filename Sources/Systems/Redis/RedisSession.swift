/// The state behind a `RedisConnection`: its link, if there is one now, and the buffers of the command under way.
///
/// `@unchecked Sendable`: only `RedisConnection` has one, and uses it within its mutex.
final class RedisSession: @unchecked Sendable {
    let tape = ReplyTape()
    /// What goes out before the caller's own bytes.
    var head: [UInt8] = []

    private var link: RedisLink?
    private let address: RedisAddress
    private let connectTimeoutMilliseconds: Int
    private let commandTimeoutMilliseconds: Int

    init(address: RedisAddress, connectTimeoutMilliseconds: Int, commandTimeoutMilliseconds: Int) {
        self.address = address
        self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
        self.commandTimeoutMilliseconds = commandTimeoutMilliseconds
    }

    func drop() { link = nil }

    /// Starts a new exchange.
    func begin() {
        tape.removeAll()
        head.removeAll(keepingCapacity: head.capacity <= 1 << 20)
    }

    /// Opens a command; its remaining arguments follow in `head` or in the parts of `exchange`.
    func appendCommand(argumentCount: Int, _ first: RedisArguments = []) {
        head.appendCommandHeader(argumentCount: argumentCount)
        head += first.wire
    }

    /// Sends `head` and `parts`, and receives the replies onto the tape. After an error there is no link any more, nor
    /// after an answer that another server may be the right one.
    func exchange(
        _ parts: [[UInt8]], replyCount: Int, additionalTimeoutMilliseconds: Int = 0
    ) throws(RedisError) {
        let link = try openLink()
        do throws(RedisError) {
            let deadline = Deadline(
                timeoutMilliseconds: commandTimeoutMilliseconds + additionalTimeoutMilliseconds)
            try link.send(head, hasMore: !parts.isEmpty, deadline: deadline)
            for (index, part) in parts.enumerated() {
                try link.send(part, hasMore: index + 1 < parts.count, deadline: deadline)
            }
            try link.receive(replyCount: replyCount, deadline: deadline)
        } catch {
            drop()
            throw error
        }
        if tape.hasError(where: RedisError.asksForNewConnection) { drop() }
    }

    /// The tape's only reply.
    ///
    /// - Throws: When it is an error.
    func singleReply() throws(RedisError) -> RedisReply {
        var index = 0
        let reply = tape.reply(at: &index)
        if case .error(let message) = reply { throw error(.server(message)) }
        return reply
    }

    /// Whether the tape's only reply is an error of that name.
    func isAnswer(withCode code: String) -> Bool {
        guard case .error(let range) = tape.elements.first else { return false }
        return tape.text(range).hasPrefix(code)
    }

    /// Walks through a reply that must be an array of so many strings and nils.
    func eachValue(count: Int, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void) throws {
        if case .error(let range) = tape.elements.first { throw error(.server(tape.text(range))) }
        guard case .array(count) = tape.elements.first, tape.elements.count == count + 1 else {
            throw error(.protocol("not an array of \(count) values"))
        }
        try tape.bytes.withUnsafeBytes { bytes in
            for index in 0..<count {
                switch tape.elements[index + 1] {
                case .bulk(let range): try body(index, UnsafeRawBufferPointer(rebasing: bytes[range]))
                case .null: try body(index, nil)
                default: throw error(.protocol("value \(index) is neither a string nor nil"))
                }
            }
        }
    }

    private func error(_ kind: RedisError.Kind) -> RedisError {
        RedisError(kind, address: address.description)
    }

    private func openLink() throws(RedisError) -> RedisLink {
        if let link, !link.isStale { return link }
        drop()
        let opened = try RedisLink(address, timeoutMilliseconds: connectTimeoutMilliseconds, tape: tape)
        try logIn(opened)
        tape.removeAll()
        link = opened
        return opened
    }

    private func logIn(_ opened: RedisLink) throws(RedisError) {
        var commands: [RedisArguments] = []
        if let password = address.password {
            commands.append(
                address.user.map { ["AUTH", .text($0), .text(password)] } ?? ["AUTH", .text(password)])
        }
        if address.database != 0 { commands.append(["SELECT", .integer(address.database)]) }
        guard !commands.isEmpty else { return }
        var bytes: [UInt8] = []
        for command in commands {
            bytes.appendCommandHeader(argumentCount: command.count)
            bytes += command.wire
        }
        let deadline = Deadline(timeoutMilliseconds: connectTimeoutMilliseconds)
        try opened.send(bytes, hasMore: false, deadline: deadline)
        try opened.receive(replyCount: commands.count, deadline: deadline)
        var index = 0
        for _ in commands {
            if case .error(let message) = tape.reply(at: &index) { throw error(.server(message)) }
        }
    }
}
