import Foundation
import Lake
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// Files of labels are read by the rules of files of transactions.
@Suite struct LabelRowTests {
    /// Ids that were taken, and why others were not.
    private func read(_ name: String, _ bytes: [UInt8]) throws -> (ids: [String], reasons: [String]) {
        let parser = LabelParser(
            defaultSource: "etl", now: Workshop.start.adding(days: 60).startMilliseconds)
        var rows = try LabelRows(key: "raw/labels/\(name)", parser: parser)
        var (ids, reasons): ([String], [String]) = ([], [])
        func take(_ row: LabelRows.Row) {
            switch row.label {
            case .success(let label): ids.append(label.transactionID)
            case .failure(let rejection): reasons.append("line \(row.line): \(rejection)")
            }
        }
        try bytes.withUnsafeBufferPointer { try rows.read($0, take) }
        try rows.finish(take)
        return (ids, reasons)
    }

    private func read(_ name: String, _ text: String) throws -> (ids: [String], reasons: [String]) {
        try read(name, Array(text.utf8))
    }

    private let header = "transaction_id,label,known_at\n"
    private let rest = "fraud,2026-01-05T00:00:00Z"

    /// The ids of the page's table, each as it is in CSV and in JSON.
    @Test func idsAreTheSameAsTransactions() throws {
        for row in try BadInputPage().rows("Ids") {
            let (json, csv, expected) = (BadInputPage.text(row[0]), BadInputPage.text(row[1]), row[3])
            let ids = expected == "refused" ? [] : [BadInputPage.text(expected)]
            if !csv.isEmpty {
                let found = try read("a.csv", header + "\(csv),\(rest)\n")
                #expect(found.ids == ids, "\(row) \(found)")
            }
            // Whether a number was written with an exponent a JSON decoder does not tell.
            if json == "1e16" { continue }
            let found = try read(
                "a.jsonl", #"{"transaction_id":\#(json),"label":"fraud","known_at":"2026-01-05T00:00:00Z"}"#)
            #expect(found.ids == ids, "\(row) \(found)")
        }
    }

    @Test func wordsForNoneAreNone() throws {
        let found = try read("a.csv", header + "NULL,\(rest)\n,\(rest)\nnull,\(rest)\nNA,\(rest)\n")
        #expect(found.ids == ["NA"] && found.reasons.count == 3)
        #expect(found.reasons.allSatisfy { $0.contains("transaction_id") })
    }

    @Test func rowsOfOtherCountsAreRefused() throws {
        let found = try read(
            "a.csv",
            "label,known_at,transaction_id,source\n\(rest),t1,bank\n\(rest),t2,bank,more\n\(rest),t3,,,\n\(rest),t12"
        )
        #expect(found.ids == ["t1", "t3"])
        #expect(found.reasons.count == 2 && found.reasons[1].contains("line 5: it has 3 fields"), "\(found)")
    }

    @Test func headersAreHeldToTheRulesOfTransactions() throws {
        let rows = "a,\(rest)\n"
        #expect(try read("a.csv", " transaction_id , label,known_at ,,\na,\(rest),,\n").ids == ["a"])
        for (text, word) in [
            ("transaction_id,label,label,known_at\na,fraud,genuine,1767225600\n", "label twice"),
            ((header + rows).replacing(",", with: ";"), "not by ';'"),
            ("id,label\n" + rows, "the header lacks transaction_id, known_at"),
        ] {
            let found = try read("a.csv", text)
            #expect(
                found.ids == [] && found.reasons.count == 1 && found.reasons[0].contains(word), "\(found)")
        }
        let utf16 = (header + rows).utf16.reduce(into: [0xFF, 0xFE] as [UInt8]) {
            $0 += [UInt8(truncatingIfNeeded: $1), 0]
        }
        #expect(try read("a.csv", utf16).reasons.first?.contains("UTF-16") == true)
    }

    @Test func bytesThatAreNoUTF8AreRefused() throws {
        let found = try read(
            "a.csv", Array(header.utf8) + [0x61, 0xFF] + Array(",\(rest)\nb,\(rest)\n".utf8))
        #expect(found.ids == ["b"])
        #expect(found.reasons.first?.hasPrefix("line 2: transaction_id: ") == true, "\(found)")
    }

    @Test func aFieldThatStandsTwiceIsRefused() throws {
        let found = try read(
            "a.jsonl",
            #"{"transaction_id":"a","label":"genuine","label":"fraud","known_at":"2026-01-05T00:00:00Z"}"#)
        #expect(found.ids == [] && found.reasons == ["line 1: label: it is given twice"])
    }
}
