import Redis
import Synchronization
import Transactions

/// Windows in Redis: one blob a user under `<prefix>windows:<service>:<user id>`, one record a partition under
/// `<prefix>partitions:<service>:<number>`, where the service is a short hash of its group and topic: services that share
/// a Redis and a prefix keep apart.
public final class RedisWindowStore: WindowStore {
    public struct Settings: Sendable {
        /// Of every key, so that services can share a Redis.
        public var prefix = "ml:"
        /// What the windows are of: another service, or another stream, has windows of its own.
        public var service = "ml-service/transactions"
        /// How long a window is kept that nobody writes, wall time; longer than windows reach.
        public var keptSeconds = 35 * 86_400

        public init() {}
    }

    private struct Buffers {
        var keys = RedisArguments()
        var arguments = RedisArguments()
        /// The last write met a key of another type, which reading does not tell from no key at all.
        var checksTypes = false
    }

    private let connection: RedisConnection
    private let buffers = Mutex(Buffers())
    private let settings: Settings
    private let userPrefix: [UInt8]
    private let partitionPrefix: String
    /// Of the version that did not name the service.
    private let unnamedPrefix: [UInt8]

    public init(connection: RedisConnection, settings: Settings = Settings()) {
        self.connection = connection
        self.settings = settings
        let service = Self.shortHash(settings.service)
        userPrefix = Array("\(settings.prefix)windows:\(service):".utf8)
        partitionPrefix = "\(settings.prefix)partitions:\(service):"
        unnamedPrefix = Array("\(settings.prefix)window:".utf8)
    }

    /// Eight hexadecimal digits.
    private static func shortHash(_ text: String) -> String {
        let digits = String(UInt32(truncatingIfNeeded: TextHash.hash(text)), radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    public var location: String { "\(connection.address)" }

    /// The key of a user's window, for people.
    public func key(of userID: String) -> String { String(decoding: userPrefix, as: UTF8.self) + userID }

    /// Where a user's damaged window is kept, for people.
    public func damagedKey(of userID: String) -> String { "\(settings.prefix)damaged:\(userID)" }

    // MARK: - Reading

    public func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws {
        try buffers.withLock { buffers in
            buffers.keys.removeAll(keepingCapacity: true)
            for number in partitions { buffers.keys.append(partitionPrefix + "\(number)") }
            buffers.keys.append(prefix: userPrefix, users, 0..<users.count)
            let foreign = buffers.checksTypes ? try foreignKeys(users, partitions) : []
            try connection.getMany(keys: buffers.keys) { index, bytes in
                guard index >= partitions.count else { return try partition(index, bytes) }
                let slot = index - partitions.count
                if let bytes {
                    try user(slot, .blob(bytes))
                } else {
                    try user(slot, foreign.contains(slot) ? .foreign : .none)
                }
            }
        }
    }

    /// Users whose keys hold something else than strings. A partition's key that does is moved aside.
    private func foreignKeys(_ users: UserKeys, _ partitions: [Int32]) throws -> Set<Int> {
        let records = partitions.map { partitionPrefix + "\($0)" }
        let types = try connection.pipeline(
            (0..<users.count).map { ["TYPE", .bytes(userPrefix + users.bytes[users.range($0)])] }
                + records.map { ["TYPE", .text($0)] }
        ).map { $0.text ?? "none" }
        for (record, type) in zip(records, types.suffix(records.count)) where Self.isForeign(type) {
            try connection.command(["RENAME", .text(record), .text("\(record):damaged")])
        }
        return Set((0..<users.count).filter { Self.isForeign(types[$0]) })
    }

    private static func isForeign(_ type: String) -> Bool { type != "none" && type != "string" }

    public func readUnnamed(
        _ users: UserKeys, indices: [Int], _ body: (Int, UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        try buffers.withLock { buffers in
            buffers.keys.removeAll(keepingCapacity: true)
            buffers.keys.append(prefix: unnamedPrefix, users, indices)
            try connection.getMany(keys: buffers.keys) { place, bytes in try body(indices[place], bytes) }
        }
    }

    // MARK: - Writing

    /// Compares every token before the first write, so that everything is written or nothing is.
    ///
    /// KEYS are the users' blobs, the partitions' records, and a new name for each damaged blob; ARGV holds the numbers
    /// of users and partitions, the milliseconds that blobs are kept, then for each user and partition what is
    /// expected where the token stands (empty: no key; `!`: a key of another type) and the new bytes, then for each
    /// damaged blob which of KEYS it is. Places are texts, as Lua prints a number anew in each call.
    private static let compareAndSet = RedisScript(
        """
        local users, partitions, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
        local written = users + partitions
        local call, pcall = redis.call, redis.pcall
        for i = 1, written do
            local token = pcall('GETRANGE', KEYS[i], '\(WindowToken.range.lowerBound)', '\(WindowToken.range.upperBound - 1)')
            if type(token) == 'table' then token = '!' end
            if token ~= ARGV[2 * i + 2] then
                if token == '!' then return -1 end
                return 0
            end
        end
        for i = written + 1, #KEYS do
            pcall('RENAME', KEYS[tonumber(ARGV[written + i + 3])], KEYS[i])
        end
        for i = 1, users do
            call('SET', KEYS[i], ARGV[2 * i + 3], 'PX', kept)
        end
        for i = users + 1, written do
            call('SET', KEYS[i], ARGV[2 * i + 3])
        end
        return 1
        """)

    public func write(_ writes: WindowWrites) throws -> Bool {
        guard writes.users.count + writes.partitions.count > 0 else { return true }
        return try buffers.withLock { buffers in
            fill(&buffers, writes)
            let reply = try connection.evaluate(
                Self.compareAndSet, keys: buffers.keys, arguments: buffers.arguments)
            buffers.checksTypes = reply.integer == -1
            return reply.integer == 1
        }
    }

    private func fill(_ buffers: inout Buffers, _ writes: WindowWrites) {
        buffers.keys.removeAll(keepingCapacity: true)
        buffers.keys.append(prefix: userPrefix, writes.users, 0..<writes.users.count)
        for write in writes.partitions { buffers.keys.append(partitionPrefix + "\(write.partition)") }
        buffers.keys.append(
            prefix: Array("\(settings.prefix)damaged:".utf8), writes.users, writes.damaged)

        buffers.arguments.removeAll(keepingCapacity: true)
        buffers.arguments.append("\(writes.users.count)")
        buffers.arguments.append("\(writes.partitions.count)")
        buffers.arguments.append("\(settings.keptSeconds * 1_000)")
        writes.bytes.withUnsafeBytes { bytes in
            for (index, expectation) in writes.expected.enumerated() {
                buffers.arguments.append(expectation)
                buffers.arguments.append(UnsafeRawBufferPointer(rebasing: bytes[writes.range(index)]))
            }
        }
        for write in writes.partitions {
            buffers.arguments.append(write.expected)
            write.bytes.withUnsafeBytes { buffers.arguments.append($0) }
        }
        for index in writes.damaged { buffers.arguments.append("\(index + 1)") }
    }

    @discardableResult
    public func remove(userID: String) throws -> Int {
        let removed = try connection.command([
            "DEL", .bytes(userPrefix + Array(userID.utf8)), .bytes(unnamedPrefix + Array(userID.utf8)),
            .text(damagedKey(of: userID)),
        ])
        return Int(removed.integer ?? 0)
    }

    public func partitions() throws -> [Int32] {
        var found: Set<Int32> = []
        var cursor = "0"
        repeat {
            let reply = try connection.command([
                "SCAN", .text(cursor), "MATCH", .text(partitionPrefix.escapedForMatching + "*"), "COUNT",
                5_000,
            ])
            guard let parts = reply.array, parts.count == 2, let next = parts[0].text else { break }
            for key in parts[1].array ?? [] {
                if let number = Int32(key.text?.dropFirst(partitionPrefix.count) ?? "") {
                    found.insert(number)
                }
            }
            cursor = next
        } while cursor != "0"
        return found.sorted()
    }

    // MARK: - Condition

    public func condition() throws -> WindowStoreCondition {
        var fields: [Substring: Substring] = [:]
        for line in try information().split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon]] = line[line.index(after: colon)...]
        }
        let policy = fields["maxmemory_policy"].map(String.init)
        return WindowStoreCondition(
            identity: fields["run_id"].map { UInt32(truncatingIfNeeded: TextHash.hash(String($0))) } ?? 0,
            evictions: fields["evicted_keys"].flatMap { Int($0) } ?? 0,
            evictionPolicy: policy == "noeviction" ? nil : policy)
    }

    /// What the server tells about itself: nothing, where it may not be asked. Such a server can still keep windows.
    private func information() throws(RedisError) -> String {
        do throws(RedisError) {
            return try connection.command(["INFO"]).text ?? ""
        } catch {
            if error.isRetryable { throw error }
            return ""
        }
    }
}

extension String {
    /// As a pattern that matches this text alone.
    fileprivate var escapedForMatching: String {
        String(flatMap { "\\*?[]".contains($0) ? ["\\", $0] : [$0] })
    }
}

extension RedisArguments {
    fileprivate mutating func append(prefix: [UInt8], _ users: UserKeys, _ indices: some Sequence<Int>) {
        prefix.withUnsafeBytes { prefix in
            users.bytes.withUnsafeBytes { bytes in
                for index in indices {
                    append(prefix: prefix, UnsafeRawBufferPointer(rebasing: bytes[users.range(index)]))
                }
            }
        }
    }

    fileprivate mutating func append(_ expectation: WindowExpectation) {
        switch expectation {
        case .nothing: append(UnsafeRawBufferPointer(start: nil, count: 0))
        case .token(let token): token.withBytes { append($0) }
        case .damaged(let bytes): bytes.withUnsafeBytes { append($0) }
        case .foreign: append("!")
        }
    }
}
