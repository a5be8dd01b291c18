import Foundation
import Testing

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
