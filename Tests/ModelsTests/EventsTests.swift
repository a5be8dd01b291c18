import DetectorAPI
import Foundation
import Redis
import Testing
import Torture

@testable import Models

@Suite struct EventsTests {
    private func change(_ sequence: Int) -> ModelChange {
        ModelChange(userID: "a", sequence: sequence, to: sequence, by: "", reason: "", timeMilliseconds: 0)
    }

    @Test func followersHearEverythingInOrderFromWhereTheyBegan() throws {
        let events = InProcessModelEvents()
        events.publish([change(1)])
        var cursor = try events.read(after: nil, waitMilliseconds: 0).cursor
        events.publish([change(2), change(3)])
        events.publish([change(4)])
        let heard = try events.read(after: cursor, waitMilliseconds: 0)
        #expect(heard.changes.map(\.sequence) == [2, 3, 4])
        cursor = heard.cursor
        #expect(try events.read(after: cursor, waitMilliseconds: 0).changes.isEmpty)
        events.publish([change(5)])
        #expect(try events.read(after: cursor, waitMilliseconds: 0).changes.map(\.sequence) == [5])
    }

    @Test func aFollowerThatIsTooFarBehindIsTold() throws {
        let events = InProcessModelEvents(maximumLength: 10)
        let cursor = try events.read(after: nil, waitMilliseconds: 0).cursor
        for sequence in 1...30 { events.publish([change(sequence)]) }
        for lost in [cursor, "100", "-1", "nonsense"] {
            #expect(throws: ModelEventsError.placeLost) { try events.read(after: lost, waitMilliseconds: 0) }
        }
        let now = try events.read(after: nil, waitMilliseconds: 0).cursor
        events.publish([change(31)])
        #expect(try events.read(after: now, waitMilliseconds: 0).changes.map(\.sequence) == [31])
    }

    private static func entry(_ number: String, _ change: [UInt8]) -> RedisStreamEntry {
        RedisStreamEntry(
            id: "1-\(number)",
            fields: [.init(name: "number", value: Array(number.utf8)), .init(name: "change", value: change)])
    }

    @Test func theNumbersOfAStreamMayBeAnything() throws {
        let json = [UInt8](try JSONEncoder().encode(change(1)))
        let last = RedisModelEvents.Place(id: "0-0", number: .max)
        for number in ["9223372036854775807", "-9223372036854775808", "0", "x", "", "99999999999999999999"] {
            _ = try? RedisModelEvents.changes(in: [Self.entry(number, json)], after: last)
            #expect(throws: ModelEventsError.placeLost) {
                try RedisModelEvents.changes(
                    in: [Self.entry(number, json)], after: RedisModelEvents.Place(id: "0-0", number: 4))
            }
        }
        let (changes, end) = try RedisModelEvents.changes(
            in: [Self.entry("5", json)], after: RedisModelEvents.Place(id: "0-0", number: 4))
        #expect(changes == [change(1)])
        #expect(end.number == 5)
    }

    /// Entries with anything in them, and what a process does that hears them.
    @Test func tortureEvents() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        let process = try world.process()
        try process.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        let json = [UInt8](try JSONEncoder().encode(change(1)))
        try Torture("model events").run(rounds: 500) { random in
            let number = Mutation.apply(to: Array("1".utf8), &random)
            let entry = Self.entry(
                random.below(4) == 0 ? String(decoding: number, as: UTF8.self) : "1",
                Mutation.apply(to: json, &random))
            let place = RedisModelEvents.Place(id: "0-0", number: 0)
            guard let heard = try? RedisModelEvents.changes(in: [entry], after: place) else {
                return .refused
            }
            guard try process.promotion.apply(heard.changes).isEmpty else {
                throw Torture.Failure("an event changed what serves")
            }
            return .accepted
        }
        #expect(try process.router.description("a") == "user v1")
        #expect(try process.cache.active() == world.catalogue.all())
    }

    @Test func aWaitingFollowerIsWoken() throws {
        let events = InProcessModelEvents()
        let cursor = try events.read(after: nil, waitMilliseconds: 0).cursor
        let heard = try onThreads(2) { index in
            if index == 0 {
                // Far longer than the test is allowed to take.
                return try events.read(after: cursor, waitMilliseconds: 600_000).changes.count
            }
            events.publish([ModelChange(userID: nil, sequence: 1, by: "", reason: "", timeMilliseconds: 0)])
            return 1
        }
        #expect(heard == [1, 1])
    }
}
