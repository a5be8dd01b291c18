import Foundation
import Testing

@testable import Host

/// What `ml-service prove` finds in what was published, and what it does to a service.
@Suite struct ProveTests {
    private func record(_ offset: Int64, _ payload: String? = nil) -> ProveRecord {
        ProveRecord(
            place: ProvePlace(partition: 0, offset: offset),
            payload: Array((payload ?? #"{"transaction_id":"t\#(offset)","user_id":"ann"}"#).utf8))
    }

    private func verdict(
        _ offset: Int64, score: Double = -0.5, marks: String = "", at place: Int64? = nil, id: String? = nil
    ) throws -> ProveVerdict {
        let json = """
            {"transaction_id":"\(id ?? "t\(offset)")","user_id":"ann","verdict":"NORMAL","score":\(score),\
            "model":{"tenant":"global","version":1},"fallback":"no-user-model","marks":[\(marks)],\
            "source":{"topic":"transactions","partition":0,"offset":\(place ?? offset)}}
            """
        return try ProveVerdict(json: Array(json.utf8))
    }

    /// Three transactions, and a record that is none at offset 3.
    private func compare(_ verdicts: [ProveVerdict], deadLetters: [Int64] = [3]) throws -> ProveComparison {
        let expected = try (0..<3).map { try verdict($0, at: 100 + $0) }
        return ProveComparison(
            records: (0..<3).map { record($0) } + [record(3, "garbage")],
            expected: Dictionary(uniqueKeysWithValues: expected.map { ($0.transactionID, $0) }),
            verdicts: verdicts, deadLetters: deadLetters.map { ProvePlace(partition: 0, offset: $0) })
    }

    private func all() throws -> [ProveVerdict] { try (0..<3).map { try verdict($0) } }

    @Test func whatIsAsItShouldBeHasNoFindings() throws {
        let comparison = try compare(try all())
        #expect(comparison.findings.isEmpty)
        #expect(comparison.transactions == 3)
        #expect(comparison.deadLetters == 1)
        #expect(comparison.marked == 0)
    }

    @Test func aLostVerdictIsFoundAndNamed() throws {
        let findings = try compare([try verdict(0), try verdict(2)]).findings
        #expect(findings.map(\.kind) == [.lost])
        #expect(findings[0].description.contains("t1 (partition 0, offset 1)"))
    }

    @Test func aDuplicatedVerdictIsFoundAndNamed() throws {
        let findings = try compare(try all() + [try verdict(1)]).findings
        #expect(findings.map(\.kind) == [.duplicated])
        #expect(findings[0].description.contains("t1 (partition 0, offset 1): 2 verdicts"))
    }

    @Test func aDifferentVerdictIsFoundAndNamed() throws {
        let findings = try compare([try verdict(0), try verdict(1, score: -0.25), try verdict(2)]).findings
        #expect(findings.map(\.kind) == [.different])
        #expect(findings[0].description.contains("t1"))
        #expect(findings[0].description.contains("score was -0.5, is -0.25"))
    }

    /// The second copy counts, too: it may be the one that a reader takes.
    @Test func aDuplicateThatDiffersIsBoth() throws {
        let findings = try compare(try all() + [try verdict(1, score: -0.25)]).findings
        #expect(findings.map(\.kind) == [.duplicated, .different])
    }

    @Test func aVerdictOfAnotherTransactionIsDifferent() throws {
        let comparison = try compare([try verdict(0), try verdict(2, at: 1), try verdict(2)])
        #expect(comparison.findings.map(\.kind) == [.different])
    }

    @Test func aVerdictOfNoRecordIsDifferent() throws {
        #expect(try compare(try all() + [try verdict(9)]).findings.map(\.kind) == [.different])
    }

    @Test func aMarkedVerdictIsCountedAndNotCompared() throws {
        let comparison = try compare(
            [try verdict(0), try verdict(1, score: -0.1, marks: #""cold","windows-lost""#), try verdict(2)])
        #expect(comparison.findings.isEmpty)
        #expect(comparison.marked == 1)
    }

    @Test func aMarkThatSaysNothingOfALossExcusesNothing() throws {
        let comparison = try compare(
            [try verdict(0), try verdict(1, marks: #""cold""#), try verdict(2)])
        #expect(comparison.findings.map(\.kind) == [.different])
        #expect(comparison.marked == 0)
    }

    @Test func deadLettersAreCountedAsVerdictsAre() throws {
        #expect(try compare(try all(), deadLetters: []).findings.map(\.kind) == [.lost])
        #expect(try compare(try all(), deadLetters: [3, 3]).findings.map(\.kind) == [.duplicated])
        #expect(try compare(try all() + [try verdict(3)]).findings.map(\.kind) == [.different])
        let lettered = try compare([try verdict(0), try verdict(1)], deadLetters: [2, 3]).findings
        #expect(lettered.map(\.kind) == [.lost])
        #expect(lettered[0].description.contains("but a dead letter"))
        #expect(try compare(try all(), deadLetters: [2, 3]).findings.map(\.kind) == [.duplicated])
    }

    /// Only the service's own member is left out, whatever a transaction says.
    @Test func theSourceAloneIsLeftOutOfTheComparison() throws {
        let mine = try verdict(1, at: 7, id: #"a\"source\":{\"x\":1}"#)
        let other = try verdict(1, at: 8, id: #"a\"source\":{\"x\":1}"#)
        #expect(mine.bytesWithoutSource == other.bytesWithoutSource)
        #expect(mine.bytesWithoutSource.count > 100)
    }

    @Test func aPlanIsItsSeedsAndLeavesNothingOut() {
        var options = ProveOptions(
            minutes: 1, seed: 5, workers: 3, partitions: 6, rate: 100, hasOwnServers: true, promotes: true,
            losesWindows: false, fillsDisks: true)
        func steps(_ count: Int) -> [ProvePlan.Step] {
            var plan = ProvePlan(options)
            return (0..<count).map { _ in plan.next() }
        }
        #expect(steps(30) == steps(30))
        let all = Set(Disturbance.allCases.filter { !$0.losesWindows })
        #expect(Set(steps(all.count).map(\.disturbance)) == all)
        options.seed = 6
        let others = steps(30)
        options.seed = 5
        #expect(others != steps(30))
        // Servers that are others' are left in peace.
        options.hasOwnServers = false
        options.promotes = false
        options.fillsDisks = false
        let left = Set(steps(20).map(\.disturbance))
        #expect(
            left == [
                .workerKilled, .workerPaused, .workerEnded, .workerAdded, .workerRemoved, .workerEndedJoining,
            ])
    }

    /// Of a child, too, that was told to end and does not.
    @Test func everyWaitEndsAndEveryChildIsKilled() throws {
        let children = ProveChildren()
        let folder = FileManager.default.temporaryDirectory.path
        let child = try ProveProcess(
            "sleeper", "/bin/sh", ["-c", "trap '' TERM; while :; do sleep 1; done"], environment: [:],
            log: "\(folder)/prove-\(UUID().uuidString).log", children: children)
        defer { try? FileManager.default.removeItem(atPath: child.log) }
        #expect(child.isRunning)
        let failure = #expect(throws: ProveFailure.self) { try child.waitForEnd(seconds: 0.1) }
        #expect(failure?.description.contains("sleeper has ended") == true)
        children.killAll()
        try child.waitForEnd(seconds: 30)
        #expect(child.end == "by signal 9")
        #expect(throws: ProveFailure.self) {
            try ProveProcess(
                "late", "/bin/true", [], environment: [:], log: child.log, children: children)
        }
    }
}
