import Foundation
import Lake
import ObjectStore
import Testing
import Torture
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

    @Test func tortureLabels() throws {
        let sound = Array(
            #"[{"transaction_id":"a","label":"genuine","known_at":1767323045000,"source":"analyst"}]"#.utf8)
        try Torture("labels").run(rounds: 3_000) { random in
            do {
                let labels = try LabelParser(defaultSource: "api", now: now)
                    .labels(Data(Mutation.apply(to: sound, &random)))
                guard labels.allSatisfy({ !$0.transactionID.isEmpty && $0.transactionID.utf8.count <= 256 })
                else {
                    throw Torture.Failure("a label of no transaction: \(labels)")
                }
                return .accepted
            } catch is LabelRejection {
                return .refused
            }
        }
    }

    /// Times and ids mean what they mean in a transaction.
    @Test(arguments: [
        #"{"transaction_id":42,"label":"fraud","known_at":1767323045}"#,
        #"{"transaction_id":"42","label":"fraud","known_at":"1767323045000.0"}"#,
        #"{"transaction_id":42,"label":"fraud","known_at":"2026-01-02 04:04:05+01"}"#,
    ])
    func valuesMeanTheSameAsInTransactions(_ json: String) throws {
        #expect(
            try parse(json) == [
                Label(
                    transactionID: "42", isFraud: true, knownMilliseconds: 1_767_323_045_000, source: "api")
            ])
    }

    @Test(arguments: [
        (#"{"label":"fraud","known_at":1767323045000}"#, "transaction_id"),
        (#"{"transaction_id":"","label":"fraud","known_at":1767323045000}"#, "transaction_id"),
        (#"{"transaction_id":"a","label":"Fraud","known_at":1767323045000}"#, "label"),
        (#"{"transaction_id":"a","label":true,"known_at":1767323045000}"#, "label"),
        (#"{"transaction_id":"a","label":"fraud"}"#, "known_at"),
        (#"{"transaction_id":"a","label":"fraud","known_at":"yesterday"}"#, "known_at"),
        (#"{"transaction_id":"a","label":"fraud","known_at":17673230}"#, "known_at"),
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

    private func label(_ id: String, _ isFraud: Bool, _ hours: Int64, _ source: String = "test") -> Label {
        Label(
            transactionID: id, isFraud: isFraud,
            knownMilliseconds: firstDay.startMilliseconds + hours * hour, source: source)
    }

    @Test func theLatestStandsInWhateverOrderLabelsCome() throws {
        let all = [label("a", true, 1), label("a", true, 5), label("a", false, 3), label("a", false, 9)]
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [3, 0, 1, 2], [0, 3, 1, 2]] {
            let folder = try TemporaryFolder()
            let lake = folder.store("lake")
            let book = LabelBook(lake: lake)
            for place in order { _ = try book.take([all[place]], name: "one") }
            // The book and whoever reads the lake say the same.
            let stands = !order.contains(3)
            #expect(try book.standing(of: [TextHash.hash("a")]).values.map(\.isFraud) == [stands], "\(order)")
            let index = try LabelIndex(LabelFiles(lake: lake), asOf: .max)
            #expect(index.isFraud(TextHash.hash("a")) == stands, "\(order)")
            // And as of every earlier moment what was known then.
            for (hours, isFraud) in [(0, nil), (1, true), (3, false), (5, true)] as [(Int64, Bool?)] {
                let then = try LabelIndex(
                    LabelFiles(lake: lake), asOf: firstDay.startMilliseconds + hours * hour)
                #expect(then.isFraud(TextHash.hash("a")) == isFraud, "\(order) at \(hours)")
            }
        }
    }

    @Test func twiceIsOnceAndWritesNothing() throws {
        let folder = try TemporaryFolder()
        let lake = folder.store("lake")
        let labels = [
            label("a", true, 1, "chargeback"), label("a", false, 1, "analyst"), label("b", false, 7),
        ]
        let book = LabelBook(lake: lake)
        #expect(try book.take(labels, name: "api").conflicting == 1)
        let files = try LabelFiles(lake: lake).files(in: LabelFiles.allDays)
        for book in [book, LabelBook(lake: lake)] {
            for label in labels { #expect(try book.take([label], name: "other").repeated == 1) }
            #expect(try book.take(labels, name: "api").repeated == 3)
            let hash = TextHash.hash("a")
            #expect(try book.standing(of: [hash])[hash]?.source == "chargeback")
        }
        #expect(try LabelFiles(lake: lake).files(in: LabelFiles.allDays) == files)
    }

    /// A store that is away loses nothing: the same labels may be sent again.
    @Test func whatCouldNotBeWrittenIsNotRemembered() throws {
        let folder = try TemporaryFolder()
        let book = LabelBook(lake: folder.store("lake"))
        // A file where the folder of labels would be.
        try Data().write(to: URL(filePath: folder.path + "/lake"))
        #expect(throws: (any Error).self) { try book.take([label("a", true, 1)], name: "api") }
        try FileManager.default.removeItem(atPath: folder.path + "/lake")
        #expect(try book.take([label("a", true, 1)], name: "api").new == 1)
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
