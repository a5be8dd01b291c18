import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Outcomes

@Suite struct LabelTests {
    private let now = firstDay.adding(days: 100).startMilliseconds

    private func parse(_ json: String) throws -> [Label] {
        try LabelParser(defaultSource: "api", now: now).labels(Data(json.utf8))
    }

    @Test func labelsAreRead() throws {
        #expect(
            try parse(#"{"transaction_id":"a","label":"fraud","known_at":"2026-01-02T03:04:05Z","more":[1]}"#)
                == [
                    Label(
                        transactionID: "a", isFraud: true, knownMilliseconds: 1_767_323_045_000, source: "api"
                    )
                ])
        #expect(
            try parse(
                #"[{"transaction_id":"a","label":"genuine","known_at":1767323045000,"source":"analyst"},{"transaction_id":"b","label":"fraud","known_at":1767323045000}]"#
            ).map(\.source) == ["analyst", "api"])
    }

    @Test(arguments: [
        (#"{"label":"fraud","known_at":1767323045000}"#, "transaction_id"),
        (#"{"transaction_id":"","label":"fraud","known_at":1767323045000}"#, "transaction_id"),
        (#"{"transaction_id":"a","label":"Fraud","known_at":1767323045000}"#, "label"),
        (#"{"transaction_id":"a","label":true,"known_at":1767323045000}"#, "label"),
        (#"{"transaction_id":"a","label":"fraud"}"#, "known_at"),
        (#"{"transaction_id":"a","label":"fraud","known_at":"yesterday"}"#, "known_at"),
        (#"{"transaction_id":"a","label":"fraud","known_at":1767323045}"#, "known_at"),
        (#"{"transaction_id":"a","label":"fraud","known_at":"2099-01-01T00:00:00Z"}"#, "known_at"),
        (
            #"[{"transaction_id":"a","label":"fraud","known_at":1767323045000},{"transaction_id":"b","label":"x","known_at":1767323045000}]"#,
            "labels[1].label"
        ),
        ("garbage", ""), ("[]x", ""), ("7", ""),
    ]) func badOnesAreRefusedByName(json: String, path: String) throws {
        do {
            _ = try parse(json)
            Issue.record("\(json) was taken")
        } catch let rejection as LabelRejection {
            #expect(rejection.path == path)
        }
    }

    @Test func theBookTellsNewChangedConflictingAndRepeated() throws {
        let folder = try TemporaryFolder()
        let book = LabelBook(lake: folder.store("lake"))
        func label(_ id: String, _ isFraud: Bool, _ hours: Int64) -> Label {
            Label(
                transactionID: id, isFraud: isFraud,
                knownMilliseconds: firstDay.startMilliseconds + hours * hour,
                source: "test")
        }
        var receipt = try book.take(
            [label("a", true, 1), label("b", false, 1), label("a", true, 1)], name: "1")
        #expect(receipt.new == 2 && receipt.repeated == 1 && receipt.received == 3)
        receipt = try book.take([label("a", false, 5), label("b", false, 9)], name: "2")
        #expect(receipt.changed == 1 && receipt.repeated == 1)
        // Known earlier than what stands; and genuine at the same moment as a fraud.
        receipt = try book.take([label("a", true, 2), label("c", true, 1), label("c", false, 1)], name: "3")
        #expect(receipt.conflicting == 2 && receipt.new == 1)

        let lake = folder.store("lake")
        let index = try LabelIndex(LabelFiles(lake: lake), asOf: .max)
        let a = TextHash.hash("a")
        #expect(index.isFraud(a) == false)
        #expect(index.isFraud(TextHash.hash("c")) == true)
        let earlier = try LabelIndex(
            LabelFiles(lake: lake), asOf: firstDay.startMilliseconds + 4 * hour)
        #expect(earlier.isFraud(a) == true)
        // Another process knows what the first has written.
        receipt = try LabelBook(lake: lake).take([label("a", false, 5)], name: "4")
        #expect(receipt.repeated == 1)
    }

    @Test func manyLabelsAtOnceAreTaken() throws {
        let folder = try TemporaryFolder()
        let book = LabelBook(lake: folder.store("lake"))
        let labels = (0..<100_000).map {
            Label(
                transactionID: "t\($0)", isFraud: $0 % 100 == 0,
                knownMilliseconds: firstDay.startMilliseconds,
                source: "bulk")
        }
        #expect(try book.take(labels, name: "bulk").new == 100_000)
        let index = try LabelIndex(LabelFiles(lake: folder.store("lake")), asOf: .max)
        #expect(index.count == 100_000)
        #expect(index.isFraud(TextHash.hash("t700")) == true)
        #expect(index.isFraud(TextHash.hash("t701")) == false)
    }
}
