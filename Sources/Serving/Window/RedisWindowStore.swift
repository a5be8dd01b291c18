import Redis
import Synchronization

/// Windows in Redis: one blob a user under `ml:window:<user id>`.
public final class RedisWindowStore: WindowStore {
    private static let prefix: StaticString = "ml:window:"

    /// Compares every token before the first write, so that all blobs are written or none.
    ///
    /// KEYS are the users' blobs; ARGV holds, for each, the expected token (empty: no blob) and the new blob.
    private static let compareAndSet = RedisScript(
        """
        for i = 1, #KEYS do
            if redis.call('GETRANGE', KEYS[i], \(WindowToken.range.lowerBound), \(WindowToken.range.upperBound - 1)) ~= ARGV[2 * i - 1] then
                return 0
            end
        end
        for i = 1, #KEYS do
            redis.call('SET', KEYS[i], ARGV[2 * i])
        end
        return 1
        """)

    private struct Buffers {
        var keys = RedisArguments()
        var arguments = RedisArguments()

        mutating func fillKeys(_ users: UserKeys) {
            keys.removeAll(keepingCapacity: true)
            users.bytes.withUnsafeBytes { bytes in
                for index in 0..<users.count {
                    keys.append(
                        prefix: RedisWindowStore.prefix,
                        UnsafeRawBufferPointer(rebasing: bytes[users.range(index)]))
                }
            }
        }
    }

    private let connection: RedisConnection
    private let buffers = Mutex(Buffers())

    public init(connection: RedisConnection) { self.connection = connection }

    public var location: String { "\(connection.address)" }

    public func read(_ users: UserKeys, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void) throws {
        try buffers.withLock { buffers in
            buffers.fillKeys(users)
            try connection.getMany(keys: buffers.keys, body)
        }
    }

    public func write(_ writes: WindowWrites) throws -> Bool {
        guard writes.users.count > 0 else { return true }
        return try buffers.withLock { buffers in
            buffers.fillKeys(writes.users)
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
        try connection.command(["DEL", .text("\(Self.prefix)\(userID)")])
    }
}
