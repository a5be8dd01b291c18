import Testing

@testable import Serving

/// Which partitions a group makes no progress in.
@Suite struct GroupProgressTests {
    private let begin = ContinuousClock.now
    private var progress = GroupProgress()

    private mutating func note(_ second: Int, committed: Int64?, end: Int64) {
        progress.note(
            committed: committed.map { [0: $0] } ?? [:], ends: [0: end], at: begin + .seconds(second))
    }

    private func standing(_ second: Int) -> [GroupProgress.Standing] {
        progress.standing(longerThan: .seconds(60), at: begin + .seconds(second))
    }

    @Test mutating func aPartitionThatGetsRecordsAndIsNotReadStands() {
        note(0, committed: 5, end: 5)
        note(15, committed: 5, end: 9)
        #expect(standing(60).isEmpty)
        #expect(
            standing(75) == [.init(partition: 0, committed: 5, end: 9, duration: .seconds(75))])
        note(90, committed: 9, end: 9)
        #expect(standing(200).isEmpty)
    }

    @Test mutating func oneInWhichNothingWasEverCommittedStandsToo() {
        note(0, committed: nil, end: 3)
        note(61, committed: nil, end: 4)
        #expect(standing(61).map(\.committed) == [nil])
    }

    /// The marker of a transaction lies between the committed offset and the log's end for as long as nothing comes.
    @Test mutating func aLogThatDoesNotGrowStandsForNothing() {
        note(0, committed: 5, end: 5)
        note(15, committed: 8, end: 9)
        note(600, committed: 8, end: 9)
        #expect(standing(600).isEmpty)
    }

    /// The broker does not tell an offset that a transaction is about to change.
    @Test mutating func anOffsetThatIsNotToldIsTheOneBefore() {
        note(0, committed: 5, end: 5)
        note(30, committed: nil, end: 7)
        note(61, committed: 5, end: 8)
        #expect(standing(61).count == 1)
    }

    @Test mutating func whatWasKnownBeforeTheBrokerWasAwayCountsNoMore() {
        note(0, committed: 5, end: 5)
        note(15, committed: 5, end: 9)
        progress.forget()
        note(90, committed: 5, end: 9)
        #expect(standing(91).isEmpty)
    }

    @Test mutating func progressInOnePartitionSaysNothingOfAnother() {
        progress.note(committed: [0: 1, 1: 1], ends: [0: 1, 1: 1], at: begin)
        progress.note(committed: [0: 1, 1: 5], ends: [0: 5, 1: 5], at: begin + .seconds(61))
        #expect(standing(61).map(\.partition) == [0])
    }
}
