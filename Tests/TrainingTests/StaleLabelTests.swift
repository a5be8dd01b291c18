import Foundation
import Lake
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// What sources gave earlier as labels and give no longer leaves the lake, unless it may have got lost by accident.
@Suite struct StaleLabelTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore
    private let lake: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
        lake = folder.store("lake")
    }

    private func put(_ key: String, _ text: String) throws {
        try raw.put("raw/\(key)", Array(text.utf8), if: .always)
    }

    private func run(delayDays: Double? = nil) throws -> ETL.Result {
        try ETL(
            raw: raw, lake: lake, labelDelay: delayDays.map { Int64($0 * 86_400_000) },
            now: { Workshop.start.adding(days: 60).startMilliseconds }
        ).run { _, _ in }
    }

    /// Days of January with files of labels.
    private func days() throws -> Set<Int> {
        Set(
            try LabelFiles(lake: lake).files(in: LabelFiles.allDays).map {
                Workshop.start.distance(to: $0.day) + 1
            })
    }

    private func isFraud(_ id: String, day: Int) throws -> Bool? {
        try LabelIndex(LabelFiles(lake: lake), asOf: Workshop.start.adding(days: day).startMilliseconds)
            .isFraud(TextHash.hash(id))
    }

    private static let header = "transaction_id,user_id,amount,timestamp,is_fraud\n"

    private func transactions(_ days: ClosedRange<Int>) -> String {
        Self.header + days.map { "t\($0),u,1,2026-01-0\($0)T10:00:00Z,1\n" }.joined()
    }

    private func label(_ id: String, _ day: String) -> String {
        #"{"transaction_id":"\#(id)","label":"fraud","known_at":"2026-01-\#(day)T00:00:00Z"}"# + "\n"
    }

    @Test func anotherDelayTakesTheLabelsOfTheEarlierOneBack() throws {
        try put("a.csv", transactions(1...4))
        #expect(try run(delayDays: 2).labels == 4)
        #expect(try days() == [3, 4, 5, 6])
        #expect(try run(delayDays: 9).labels == 4)
        #expect(try days() == [10, 11, 12, 13])
        #expect(try isFraud("t1", day: 8) == nil)
        // Two days' transactions become known on one day.
        #expect(try run(delayDays: 2.7).labels == 4)
        #expect(try days() == [4, 5, 6, 7])
        for day in 1...4 { #expect(try isFraud("t\(day)", day: day + 3) == true) }
        // Without one they are in the rows again.
        #expect(try run().labels == 0)
        #expect(try days() == [])
    }

    @Test func aCorrectedFileOfLabelsReplacesWhatItGave() throws {
        try put("labels/a.jsonl", label("x", "02") + label("y", "03"))
        try put("labels/b.jsonl", label("z", "05"))
        _ = try run()
        // Of the service itself, which no source gave.
        _ = try LabelBook(lake: lake).take(
            [
                Label(
                    transactionID: "w", isFraud: true, knownMilliseconds: Workshop.start.startMilliseconds,
                    source: "s")
            ],
            name: "api")
        #expect(try days() == [1, 2, 3, 5])
        try put("labels/a.jsonl", label("x", "22") + label("y", "03"))
        #expect(try run().kept == [])
        #expect(try days() == [1, 3, 5, 22])
        #expect(try isFraud("x", day: 20) == nil)
        // A source that is gone leaves what it gave.
        try raw.delete("raw/labels/b.jsonl")
        _ = try run()
        #expect(try days() == [1, 3, 5, 22])
    }

    @Test(arguments: ["", "\n", "garbage\n"])
    func whatMayHaveGotLostStaysAndIsNamed(text: String) throws {
        try put("labels/a.jsonl", label("x", "02") + label("y", "03"))
        try put("labels/b.jsonl", label("z", "05"))
        _ = try run()
        try put("labels/a.jsonl", text)
        let result = try run()
        #expect(result.refused.count == 1 && result.refused[0].hasPrefix("raw/labels/a.jsonl, "))
        #expect(result.kept.count == 2 && result.kept.allSatisfy { $0.hasPrefix("labels/2026/01/") })
        #expect(try days() == [2, 3, 5])
        // One row that cannot be read may be the one that was there.
        try put("labels/a.jsonl", label("y", "03") + text + "{}\n")
        #expect(try run().kept.count == 1)
        #expect(try days() == [2, 3, 5])
    }

    @Test(arguments: ["", header, header + "t1,u,ten,2026-01-01T10:00:00Z,1\n"])
    func theLabelsOfASourceThatCannotBeReadStay(text: String) throws {
        try put("a.csv", transactions(1...2))
        try put("b.csv", Self.header + "b,u,1,2026-01-01T10:00:00Z,1\n")
        _ = try run(delayDays: 2)
        try put("a.csv", text)
        let result = try run(delayDays: 5)
        #expect(result.refused.count == 1)
        #expect(result.kept.count { $0.hasPrefix("labels/") } == 2)
        #expect(try isFraud("t2", day: 4) == true)
        #expect(try isFraud("b", day: 4) == nil)
    }
}
