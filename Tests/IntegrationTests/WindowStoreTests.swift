import Features
import Foundation
import Redis
import Testing

@testable import Serving

/// Both window stores keep the same promise: all of a batch's blobs are written, or none.
@Suite struct WindowStoreTests {
    enum Kind: CaseIterable { case memory, redis }

    private func store(_ kind: Kind) throws -> any WindowStore {
        switch kind {
        case .memory: MemoryWindowStore()
        case .redis:
            RedisWindowStore(connection: RedisConnection(address: try RedisAddress(parsing: Stack.redis)))
        }
    }

    private func keys(_ users: [String]) -> UserKeys {
        var keys = UserKeys()
        for user in users { keys.append(user) }
        return keys
    }

    private func blob(_ sequence: UInt64) -> [UInt8] {
        WindowBlob.encoded(UserWindow(), token: WindowToken(writer: 7, sequence: sequence), owner: 0)
    }

    private func writes(_ users: [String], expected: [UInt64?], sequence: UInt64) -> WindowWrites {
        let blob = blob(sequence)
        return WindowWrites(
            users: keys(users),
            expected: expected.map { $0.map { .token(WindowToken(writer: 7, sequence: $0)) } ?? .nothing },
            bytes: users.flatMap { _ in blob }, ends: users.indices.map { ($0 + 1) * blob.count })
    }

    private func tokens(_ store: any WindowStore, _ users: [String]) throws -> [UInt64?] {
        var found = [UInt64?](repeating: nil, count: users.count)
        try store.read(keys(users), partitions: []) { _, _ in
        } user: { index, stored in
            if case .blob(let bytes) = stored {
                found[index] = try WindowBlob(bytes, owner: 0).token.sequence
            }
        }
        return found
    }

    @Test(arguments: Kind.allCases)
    func writesAllOrNone(kind: Kind) throws {
        let store = try store(kind)
        // Ids may hold anything: zero bytes, spaces, line ends.
        let users = ["a", "b\r\nc", "d\u{0}e"].map { "\($0)-\(UUID().uuidString)" }
        #expect(try tokens(store, users) == [nil, nil, nil])
        #expect(try store.write(writes(users, expected: [nil, nil, nil], sequence: 1)))
        #expect(try tokens(store, users) == [1, 1, 1])
        #expect(try store.write(writes([users[1]], expected: [1], sequence: 2)))
        #expect(try !store.write(writes(users, expected: [1, 1, 1], sequence: 3)))
        #expect(try tokens(store, users) == [1, 2, 1])
        #expect(try !store.write(writes([users[0]], expected: [nil], sequence: 4)))
        #expect(try store.write(writes(users, expected: [1, 2, 1], sequence: 5)))
        #expect(try tokens(store, users) == [5, 5, 5])
        for user in users { try store.remove(userID: user) }
        #expect(try tokens(store, users) == [nil, nil, nil])
    }

    @Test(arguments: Kind.allCases)
    func aBatchOfManyUsersIsOneWrite(kind: Kind) throws {
        let store = try store(kind)
        let run = UUID().uuidString
        let users = (0..<5_000).map { "\(run)-\($0)" }
        #expect(try store.write(writes(users, expected: users.map { _ in nil }, sequence: 1)))
        #expect(try tokens(store, users).allSatisfy { $0 == 1 })
        for user in users { try store.remove(userID: user) }
    }
}
