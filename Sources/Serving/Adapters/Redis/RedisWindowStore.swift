import Redis
import Synchronization

/// Windows in Redis: one blob a user under `<prefix>window:<user id>`.
public final class RedisWindowStore: WindowStore {
    /// Compares every token before the first write, so that all blobs are written or none.
    ///
    /// KEYS are the users' blobs; ARGV holds, for each, the expected token (empty: no blob) and the new blob. Written in
    /// slices, as `unpack` takes fewer than 8,000 values.
    private static let compareAndSet = RedisScript(
        """
        for i = 1, #KEYS do
            if redis.call('GETRANGE', KEYS[i], \(WindowToken.range.lowerBound), \(WindowToken.range.upperBound - 1)) ~= ARGV[2 * i - 1] then
                return 0
            end
        end
        for first = 1, #KEYS, 1000 do
            local set = {}
            for i = first, math.min(first + 999, #KEYS) do
                set[#set + 1] = KEYS[i]
                set[#set + 1] = ARGV[2 * i]
            end
            redis.call('MSET', unpack(set))
        end
        return 1
        """)

    private struct Buffers {
        var keys = RedisArguments()
        var arguments = RedisArguments()

        mutating func fillKeys(_ users: UserKeys, prefix: [UInt8]) {
            keys.removeAll(keepingCapacity: true)
            prefix.withUnsafeBytes { prefix in
                users.bytes.withUnsafeBytes { bytes in
                    for index in 0..<users.count {
                        keys.append(
                            prefix: prefix, UnsafeRawBufferPointer(rebasing: bytes[users.range(index)]))
                    }
                }
            }
        }
    }

    private let connection: RedisConnection
    private let buffers = Mutex(Buffers())

    private let prefix: [UInt8]

    /// - Parameter prefix: Of every key, so that services can share a Redis.
    public init(connection: RedisConnection, prefix: String = "ml:") {
        self.connection = connection
        self.prefix = Array("\(prefix)window:".utf8)
    }

    public var location: String { "\(connection.address)" }

    public func read(_ users: UserKeys, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void) throws {
        try buffers.withLock { buffers in
            buffers.fillKeys(users, prefix: prefix)
            try connection.getMany(keys: buffers.keys, body)
        }
    }

    public func write(_ writes: WindowWrites) throws -> Bool {
        guard writes.users.count > 0 else { return true }
        return try buffers.withLock { buffers in
            buffers.fillKeys(writes.users, prefix: prefix)
            buffers.arguments.removeAll(keepingCapacity: true)
            writes.bytes.withUnsafeBytes { bytes in
                for (index, token) in writes.expected.enumerated() {
                    if let token {
                        token.withBytes { buffers.arguments.append($0) }
                    } else {
                        buffers.arguments.append(UnsafeRawBufferPointer(start: nil, count: 0))
                    }
                    buffers.arguments.append(UnsafeRawBufferPointer(rebasing: bytes[writes.range(index)]))
                }
            }
            let reply = try connection.evaluate(
                Self.compareAndSet, keys: buffers.keys, arguments: buffers.arguments)
            return reply.integer == 1
        }
    }

    public func remove(userID: String) throws {
        try connection.command(["DEL", .bytes(prefix + Array(userID.utf8))])
    }
}
