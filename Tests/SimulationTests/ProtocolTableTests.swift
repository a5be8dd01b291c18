import BatchProtocol
import Testing

/// The lines of the tables in Sources/Serving/BatchProtocol, one by one.
@Suite struct ProtocolTableTests {
    private static let span = BatchSpan(
        assignment: 1, slices: [SliceSpan(partition: 0, start: 10, end: 20, isBeginning: false)])

    /// A machine that has gone through some events.
    private static func machine(
        _ events: [BatchProtocol.Event], limits: BatchProtocol.Limits = .init()
    ) -> (BatchProtocol, BatchProtocol.Action) {
        var machine = BatchProtocol(limits: limits)
        var action = machine.handle(.batch(span))
        for event in events { action = machine.handle(event) }
        return (machine, action)
    }

    private static let untilWritten: [BatchProtocol.Event] = [
        .windowsRead(asking: []), .evaluated, .prepared, .windowsWritten,
    ]

    @Test func aBatchGoesThroughItsStepsInOrder() {
        var machine = BatchProtocol()
        #expect(machine.handle(.batch(Self.span)) == .readWindows)
        #expect(machine.handle(.windowsRead(asking: [3])) == .askCommittedOffsets([3]))
        #expect(machine.handle(.offsetsAnswered) == .evaluate)
        #expect(!machine.isDelivering)
        #expect(machine.handle(.evaluated) == .prepare)
        #expect(machine.isDelivering)
        #expect(machine.handle(.prepared) == .writeWindows)
        #expect(machine.handle(.windowsWritten) == .commit)
        #expect(machine.handle(.committed) == .finish(.delivered))
        #expect(machine.state == .idle && machine.batch == nil)
    }

    @Test func aConflictBeginsAgainAndTheFifthEndsTheSession() {
        var (machine, action) = Self.machine([])
        for round in 1...5 {
            #expect(action == .readWindows && machine.attempt == round)
            for event in [.windowsRead(asking: []), .evaluated, .prepared] as [BatchProtocol.Event] {
                _ = machine.handle(event)
            }
            #expect(machine.handle(.conflict) == .abort)
            action = machine.handle(.aborted)
        }
        #expect(action == .end(.conflicts(5)))
    }

    @Test func aCommitThatIsNotAnsweredIsCalledAgainAndNeverTakenForEither() {
        var limits = BatchProtocol.Limits()
        limits.repetitions = 3
        var (machine, _) = Self.machine(Self.untilWritten, limits: limits)
        #expect(machine.handle(.failed(.away)) == .commit)
        #expect(machine.handle(.failed(.away)) == .commit)
        #expect(machine.handle(.failed(.away)) == .end(.outcomeUnknown))
    }

    @Test func aFailureLeadsBackToReading() {
        let before: [[BatchProtocol.Event]] = [
            [], [.windowsRead(asking: [1])], [.windowsRead(asking: [])],
        ]
        for events in before {
            var (machine, _) = Self.machine(events)
            #expect(machine.handle(.failed(.away)) == .wait)
            #expect(machine.handle(.waited) == .readWindows)
        }
        let open: [[BatchProtocol.Event]] = [
            [.windowsRead(asking: []), .evaluated], [.windowsRead(asking: []), .evaluated, .prepared],
        ]
        for events in open {
            var (machine, _) = Self.machine(events)
            #expect(machine.handle(.failed(.away)) == .abort)
            #expect(machine.handle(.failed(.away)) == .abort)
            #expect(machine.handle(.aborted) == .wait)
            #expect(machine.handle(.waited) == .readWindows)
        }
        var (machine, _) = Self.machine(Self.untilWritten)
        #expect(machine.handle(.failed(.transactionLost)) == .abort)
        #expect(machine.handle(.aborted) == .wait)
    }

    @Test func aLostAssignmentAbandonsTheBatch() {
        var (reading, _) = Self.machine([])
        #expect(reading.handle(.failed(.assignmentLost)) == .finish(.abandoned))
        var (committing, _) = Self.machine(Self.untilWritten)
        #expect(committing.handle(.failed(.assignmentLost)) == .abort)
        #expect(committing.handle(.aborted) == .finish(.abandoned))
    }

    @Test func whoIsFencedEndsWhereverItStands() {
        for count in 0...Self.untilWritten.count {
            var (machine, _) = Self.machine(Array(Self.untilWritten.prefix(count)))
            #expect(machine.handle(.failed(.fenced)) == .end(.fenced))
        }
    }

    @Test func aHopelessBatchEndsTheSessionAndLeavesNoTransactionOpen() {
        let failure = BatchProtocol.Event.failed(.hopeless("the disk is gone"))
        let ended = BatchProtocol.Action.end(.failed("the disk is gone"))
        for count in 1...Self.untilWritten.count {
            var (machine, _) = Self.machine(Array(Self.untilWritten.prefix(count)))
            let isOpen = machine.isDelivering
            #expect(isOpen == (count > 1))
            #expect(machine.handle(failure) == (isOpen ? .abort : ended))
            if isOpen { #expect(machine.handle(.aborted) == ended) }
        }
        var (reading, _) = Self.machine([])
        #expect(reading.handle(failure) == ended)
        var (aborting, _) = Self.machine(Self.untilWritten + [.failed(.transactionLost)])
        #expect(aborting.handle(failure) == ended)
    }

    @Test func aStopLetsADeliveryEndAndNoWaitBegin() {
        var (delivering, _) = Self.machine(Self.untilWritten)
        #expect(delivering.handle(.stop) == .carryOn)
        #expect(delivering.handle(.committed) == .finish(.delivered))
        var (reading, _) = Self.machine([])
        #expect(reading.handle(.stop) == .carryOn)
        #expect(reading.handle(.failed(.away)) == .end(.stopped))
        var (waiting, _) = Self.machine([.failed(.away)])
        #expect(waiting.handle(.stop) == .end(.stopped))
    }

    @Test func pendingRecordsCountBelowTheCommittedOffsetOfTheirPartition() {
        let slice = SliceSpan(partition: 0, start: 20, end: 30, isBeginning: false)
        let own = WindowStart(
            BlobPlace(partition: 0, baseOffset: 10), in: slice, committedElsewhere: [:])
        #expect(own.foldsBelow == 20 && own.countsFrom == 20 && !own.isMoved)
        let ahead = WindowStart(
            BlobPlace(partition: 0, baseOffset: 25), in: slice, committedElsewhere: [:])
        #expect(ahead.countsFrom == 25 && ahead.isAhead(of: slice))
        let moved = WindowStart(
            BlobPlace(partition: 1, baseOffset: 500), in: slice, committedElsewhere: [1: 510])
        #expect(moved.foldsBelow == 510 && moved.countsFrom == 20 && moved.isMoved)
        let fromNowhere = WindowStart(
            BlobPlace(partition: 1, baseOffset: 500), in: slice, committedElsewhere: [:])
        #expect(fromNowhere.foldsBelow == .min)
    }

    @Test func aWatermarkBelowTheCommittedOffsetIsALoss() {
        func standing(_ start: Int64, _ watermark: Watermark?, isBeginning: Bool = false) -> Standing {
            Standing(
                SliceSpan(partition: 0, start: start, end: start + 10, isBeginning: isBeginning),
                watermark: watermark)
        }
        #expect(standing(20, Watermark(end: 20)) == .whole)
        #expect(standing(20, Watermark(end: 30)) == .whole)
        #expect(standing(20, Watermark(end: 19)) == .lost(below: 20))
        #expect(standing(20, nil) == .lost(below: 20))
        #expect(standing(20, nil, isBeginning: true) == .whole)
        #expect(standing(20, Watermark(end: 20, lostBelow: 12)) == .lost(below: 12))
        #expect(standing(20, Watermark(end: 15, lostBelow: 12)) == .lost(below: 20))
        let slice = SliceSpan(partition: 0, start: 20, end: 30, isBeginning: false)
        #expect(Standing.lost(below: 20).watermark(after: slice) == Watermark(end: 30, lostBelow: 20))
    }

    @Test func slicesFollowOneAnotherWithoutAGap() {
        var ledger = ReadLedger<Int32>()
        #expect(ledger.withoutStart([0, 1]) == [0, 1])
        ledger.begin(0, committed: 5, first: 8)
        #expect(ledger.withoutStart([0, 1]) == [1])
        #expect(ledger.advance(0, first: 8, to: 12) == (5, false))
        #expect(ledger.advance(0, first: 12, to: 15) == (12, false))
        ledger.begin(1, committed: nil, first: 3)
        #expect(ledger.advance(1, first: 3, to: 4) == (3, true))
        #expect(ledger.advance(1, first: 4, to: 6) == (4, false))
        #expect(ledger.position(of: 1) == 6)
        // Behind what is gone from the log; and before it, of records that come again.
        ledger.move(1, to: 20)
        #expect(ledger.advance(1, first: 22, to: 25) == (20, false))
        #expect(ledger.advance(1, first: 10, to: 12) == (10, false))
        let before = ledger.assignment
        ledger.assignmentChanged()
        #expect(ledger.assignment != before && ledger.withoutStart([0]) == [0])
        #expect(ledger.position(of: 1) == nil)
    }
}
