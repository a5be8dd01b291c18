import Foundation
import Logging
import ObjectStore
import Retrying
import Rules
import Testing

@testable import Serving

/// What the worker does with a batch: the steps of `BatchProtocol`, done on a stream, a store and models.
@Suite struct BatchDriverTests {
    private let scene: DriverScene
    private let batch = DriverScene.batch()
    private static let delivered = ["read", "prepare", "write", "commit"]

    init() throws { scene = try DriverScene() }

    private func expectDelivered(_ log: [String]) throws {
        guard case .delivered(let scored) = try scene.run(batch) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(scored.count == batch.count)
        #expect(scene.log == log)
        #expect(scene.status.totals.transactions == batch.count)
    }

    private func expectEnd(_ log: [String]) -> (any Error)? {
        let error = #expect(throws: (any Error).self) { _ = try scene.run(batch) }
        #expect(scene.log == log + ["abandon"])
        #expect(scene.status.totals.transactions == 0)
        return error
    }

    @Test func windowsAreWrittenBetweenPreparingAndCommitting() throws {
        try expectDelivered(Self.delivered)
    }

    /// The question goes to the broker, which may be slow: nobody else waits for the store meanwhile.
    @Test func offsetsOfOtherPartitionsAreAskedForWhenTheStoreIsLetGoOf() throws {
        try scene.writeWindows(DriverScene.batch(partition: 3), writer: 2)
        scene.stream.offsets = [3: 1]
        // The store has one lock, which is not entered twice.
        scene.stream.meanwhile = { [store = scene.store] in _ = try store.memory.partitions() }
        try expectDelivered(["read", "ask [3]", "prepare", "write", "commit"])
        #expect(scene.status.totals.windowsMoved == 1)
    }

    @Test func offsetsThatCannotBeHadAreWaitedForAndTheWindowsReadAgain() throws {
        try scene.writeWindows(DriverScene.batch(partition: 3), writer: 2)
        scene.stream.failures["ask [3]"] = [
            DeliveryError.unanswered(DriverScene.Failure(isRetryable: true))
        ]
        try expectDelivered(["read", "ask [3]", "read", "ask [3]", "prepare", "write", "commit"])
        #expect(scene.status.totals.interruptions == 1)
    }

    @Test func aCommitWithoutAnAnswerIsCalledAgainAndNothingElse() throws {
        let unanswered = DeliveryError.unanswered(DriverScene.Failure(isRetryable: true))
        scene.stream.failures["commit"] = [unanswered, unanswered]
        try expectDelivered(Self.delivered + ["commit", "commit"])
    }

    @Test(arguments: ["prepare", "commit"])
    func aRefusedDeliveryIsAbortedAndTheBatchBeginsAgain(step: String) throws {
        scene.stream.failures[step] = [DeliveryError.mustAbort(DriverScene.Failure(isRetryable: true))]
        let failed = Self.delivered.prefix { $0 != step } + [step, "abort"]
        try expectDelivered(failed + Self.delivered)
    }

    /// A replay on a full disk ends: nobody makes room for a command that says nothing.
    @Test(arguments: ["commit", "write"])
    func whereNothingIsWaitedForTheFirstFailureEndsTheSession(step: String) throws {
        let scene = try DriverScene(waits: false)
        let full = StreamFileError(path: "/d/verdicts.jsonl", action: "write", code: ENOSPC)
        if step == "write" { scene.store.writeFailures = [full] }
        scene.stream.failures[step] = [DeliveryError.mustAbort(full)]
        let error = #expect(throws: SessionEnded.self) { _ = try scene.run(batch) }
        #expect(error?.description == "cannot write /d/verdicts.jsonl: No space left on device")
        #expect(error?.reason is StreamFileError)
        #expect(scene.log == Self.delivered.prefix { $0 != step } + [step, "abort", "abandon"])
    }

    @Test func aStoreThatIsAwayLeavesNoTransactionOpen() throws {
        scene.store.writeFailures = [DriverScene.Failure(isRetryable: true)]
        try expectDelivered(["read", "prepare", "write", "abort"] + Self.delivered)
    }

    @Test func aConflictBeginsAgainAtOnceAndTheFifthEndsTheSession() throws {
        var writer: UInt64 = 100
        scene.stream.meanwhile = { [scene, batch] in
            writer += 1
            try scene.writeWindows(batch, writer: writer)
        }
        let round = ["read", "prepare", "write", "abort"]
        let error = expectEnd(Array(repeating: round, count: 5).flatMap { $0 })
        guard case ServingError.windowConflicts(5)? = (error as? SessionEnded)?.reason else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.isPassing == true)
        #expect(scene.status.totals.conflicts == 5)
    }

    @Test func aBatchOfAnAssignmentThatHasEndedIsDropped() throws {
        scene.stream.assignment = 1
        guard case .abandoned = try scene.run(batch) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(scene.log == [])
        #expect(scene.status.totals.batchesDropped == 1)
    }

    /// The assignment ends after the question, as the broker says when it is asked.
    @Test func anAssignmentThatEndsWhileABatchIsScoredDropsIt() throws {
        scene.stream.failures["prepare"] = [DeliveryError.assignmentEnded]
        guard case .abandoned = try scene.run(batch) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(scene.log == ["read", "prepare", "abort"])
        #expect(scene.status.totals.batchesDropped == 1)
        // The next batch is worked on.
        guard case .delivered = try scene.run(batch) else {
            Issue.record("\(scene.log)")
            return
        }
    }

    @Test func aSessionThatEndsAbortsWhatItCan() throws {
        scene.stream.failures["prepare"] = [
            SessionEnded(DriverScene.Failure(isRetryable: false), isRetryable: true)
        ]
        #expect(expectEnd(["read", "prepare", "abort"]) is SessionEnded)
    }

    @Test(arguments: [SessionEnded.Remainder.nothing, .fenced])
    func aClientThatIsOfNoUseIsLeftAsItIs(remainder: SessionEnded.Remainder) throws {
        scene.stream.failures["commit"] = [
            SessionEnded(
                DriverScene.Failure(isRetryable: true), isRetryable: true, remainder: remainder)
        ]
        #expect(expectEnd(Self.delivered) is SessionEnded)
    }

    @Test func aLastingErrorOfTheStoreEndsTheSessionAsItself() throws {
        scene.store.writeFailures = [DriverScene.Failure(isRetryable: false)]
        #expect(expectEnd(["read", "prepare", "write", "abort"]) is DriverScene.Failure)
    }

    @Test func aStopEndsAWait() throws {
        scene.stream.failures["prepare"] = [DeliveryError.mustAbort(DriverScene.Failure(isRetryable: true))]
        scene.stopping.give()
        guard case .stopped = try scene.run(batch) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(scene.log == ["read", "prepare", "abort", "abandon"])
    }

    /// At least once, the first attempt's verdicts may have been seen.
    @Test func aRepeatedBatchKeepsItsModelWhateverIsPromotedMeanwhile() throws {
        scene.stream.failures["commit"] = [DeliveryError.mustAbort(DriverScene.Failure(isRetryable: true))]
        var isFirst = true
        scene.stream.meanwhile = { [scene] in
            if isFirst { try scene.promote(score: -0.9) }
            isFirst = false
        }
        try expectDelivered(["read", "prepare", "write", "commit", "abort"] + Self.delivered)
        let verdicts = scene.stream.verdicts
        #expect(verdicts.count == 2 && verdicts[0] == verdicts[1])
        #expect(verdicts[0].first?.contains(#""verdict":"NORMAL""#) == true)
        // The next batch has the new one.
        guard case .delivered(let next) = try scene.run(DriverScene.batch(start: 1)) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(next.isAnomaly(0))
    }

    @Test func aRepeatedBatchKeepsItsRulesWhateverIsChangedMeanwhile() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rules-\(UUID())").path
        let store = RuleStore(objects: DirectoryObjectStore(root: folder))
        let rules = CurrentRules(
            store: store, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        _ = try store.add(
            Rule(
                id: "a", action: .alert, conditions: .init(userID: "u0"), reason: "r", author: "t",
                createdMilliseconds: WindowFixtures.epoch), by: "t", now: WindowFixtures.epoch)
        rules.refresh()
        let scene = try DriverScene(rules: rules)
        scene.stream.failures["commit"] = [DeliveryError.mustAbort(DriverScene.Failure(isRetryable: true))]
        var isFirst = true
        scene.stream.meanwhile = {
            guard isFirst else { return }
            isFirst = false
            _ = try store.remove("a", by: "t", now: WindowFixtures.epoch)
            rules.refresh()
        }
        guard case .delivered(let scored) = try scene.run(DriverScene.batch()) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(scored.isAlert(0) && !scored.isAnomaly(0))
        let verdicts = scene.stream.verdicts
        #expect(verdicts.count == 2 && verdicts[0] == verdicts[1])
        #expect(verdicts[0].first?.contains(#""alerted_by":"a","rules":{"version":1,"#) == true)
        // The next batch has the new ones.
        guard case .delivered(let next) = try scene.run(DriverScene.batch(start: 1)) else {
            Issue.record("\(scene.log)")
            return
        }
        #expect(!next.isAlert(0))
    }
}
