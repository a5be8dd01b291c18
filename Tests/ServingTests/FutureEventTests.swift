import Features
import Testing
import Transactions

@testable import Serving

/// One event dated in the future moves no window and no clock.
@Suite struct FutureEventTests {
    private static let day: Int64 = 86_400_000
    private static let now = WindowFixtures.epoch

    private func clock(_ times: [(event: Int64, record: Int64?)]) -> (clock: EventClock, future: [Bool]) {
        var clock = EventClock()
        let future = times.map {
            clock.isFuture(
                eventMilliseconds: $0.event, recordMilliseconds: $0.record, skewMilliseconds: Self.day)
        }
        return (clock, future)
    }

    @Test func anEventTooFarAheadOfThePartitionMovesItsTimeNowhere() {
        let (clock, future) = clock([
            (Self.now, nil), (Self.now + 2 * Self.day, nil), (Self.now + Self.day, nil), (Self.now, nil),
        ])
        #expect(future == [false, true, false, false])
        #expect(clock.milliseconds == Self.now + Self.day)
    }

    @Test func theRecordsTimeAllowsWhatAPauseHasHeldBack() {
        let later = Self.now + 9 * Self.day
        let (clock, future) = clock([
            (Self.now, Self.now), (later, later), (later + 2 * Self.day, later), (later, later),
        ])
        #expect(future == [false, false, true, false])
        #expect(clock.milliseconds == later)
    }

    @Test func theFirstRecordIsJudgedByItsRecordsTime() {
        let (clock, future) = clock([(Self.now + 400 * Self.day, Self.now), (Self.now, Self.now)])
        #expect(future == [true, false])
        #expect(clock.milliseconds == Self.now)
    }

    /// Else each event could pull the clock a day further.
    @Test func manyEventsALittleAheadDoNotAddUp() {
        let ahead = (0..<100).flatMap { step in
            [(event: Self.now + Int64(step) * Self.day / 2, record: Int64?(Self.now)), (Self.now, Self.now)]
        }
        let (clock, future) = clock(ahead)
        #expect(future.filter { !$0 }.count == 100 + 3)
        #expect(clock.milliseconds == Self.now)
    }

    @Test func aStreamThatHasMovedOnIsFollowed() {
        let later = Self.now + 90 * Self.day
        let (clock, future) = clock([(Self.now, Self.now)] + (0..<40).map { (later + $0 * 60_000, Self.now) })
        #expect(future.filter { $0 }.count == Int(EventClock.streakLength) - 1)
        #expect(future.suffix(20).allSatisfy { !$0 })
        #expect(clock.milliseconds == later + 39 * 60_000)
    }

    @Test func theClockKeepsItsBytes() {
        let (clock, _) = clock([(Self.now, nil), (Self.now + 9 * Self.day, nil)])
        var bytes: [UInt8] = []
        clock.append(to: &bytes)
        #expect(bytes.count == EventClock.encodedSize)
        #expect(bytes.withUnsafeBytes { EventClock($0, at: 0) } == clock)
    }

    /// A user's ordinary payments, then one dated ahead, then a burst: the burst's features are those without it.
    @Test(arguments: [8, 31, 63_000] as [Int64])
    func aBurstAfterAnEventFromTheFutureHasTheFeaturesItHasWithout(daysAhead: Int64) throws {
        let ordinary = (0..<60).map { WindowFixtures.record(user: $0 % 3, minute: $0 * 300) }
        let end = 60 * 300
        let poison = WindowFixtures.record(
            user: 0, minute: end, amount: 1,
            milliseconds: Self.now + Int64(end) * 60_000 + daysAhead * Self.day)
        let burst = (0..<30).map { WindowFixtures.record(user: 0, minute: end + 1 + $0, amount: 900) }

        let without = try features(ordinary + burst, batchSize: 100)
        for batchSize in [1, 7, 100] {
            let with = try features(ordinary + [poison] + burst, batchSize: batchSize)
            #expect(with.marks[60] == .future)
            #expect(with.marks.suffix(30).allSatisfy { $0 == [] })
            #expect(Array(with.features.suffix(30)) == Array(without.features.suffix(30)))
        }
    }

    /// The clock survives a worker that is killed anywhere: the rerun marks the same events.
    @Test func theClockIsCommittedWithTheWindows() throws {
        let store = MemoryWindowStore()
        let records = [0, 1, 40 * 1440, 2, 3, 41 * 1440, 4].map {
            WindowFixtures.record(user: $0 % 2, minute: $0)
        }
        var marks: [TransactionMarks] = []
        for (offset, record) in records.enumerated() {
            let batch = WindowFixtures.batch([record], start: Int64(offset))
            // Written, and killed before the commit; then once more by another worker.
            _ = try WindowFixtures.deliver(
                batch, WindowStage(store: store, writer: UInt64(2 * offset)), store)
            let stage = WindowStage(store: store, writer: UInt64(2 * offset + 1))
            marks += try WindowFixtures.deliver(batch, stage, store).marks
        }
        #expect(marks == [[], [], .future, [], [], .future, []])
    }

    private func features(
        _ records: [Transaction], batchSize: Int
    ) throws -> (features: [[UInt32]], marks: [TransactionMarks]) {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        var features: [[UInt32]] = []
        var marks: [TransactionMarks] = []
        for start in stride(from: 0, to: records.count, by: batchSize) {
            let part = Array(records[start..<min(start + batchSize, records.count)])
            let batch = WindowFixtures.batch(part, start: Int64(start))
            let windowed = try WindowFixtures.deliver(batch, stage, store)
            features += windowed.featureBits
            marks += windowed.marks
        }
        return (features, marks)
    }
}
