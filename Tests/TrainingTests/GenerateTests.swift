import Foundation
import Lake
import Outcomes
import Testing
import Transactions

@testable import Training

@Suite struct GenerateTests {
    @Test func theSameSeedGivesTheSameTransactions() {
        let one = TransactionGenerator(users: 20, seed: 3).day(Workshop.start)
        #expect(one == TransactionGenerator(users: 20, seed: 3).day(Workshop.start))
        #expect(one != TransactionGenerator(users: 20, seed: 4).day(Workshop.start))
        // A golden one: the numbers do not depend on the machine's mathematics.
        #expect(
            one.first?.transaction.json()
                == #"{"transaction_id":"t20454-000001","user_id":"user-000012","amount":16.55,"#
                + #""timestamp":"2026-01-01T07:03:16.199Z","currency":"JPY","merchant_id":"m-256","#
                + #""category":"restaurant","country":"JP","channel":"pos","device_id":"d-12","#
                + #""latitude":35.7615,"longitude":139.6932}"#)
    }

    @Test func transactionsAreAcceptedAndInOrderOfTheirTime() {
        let parser = TransactionParser()
        var ids: Set<String> = []
        for offset in 0..<5 {
            let day = Workshop.start.adding(days: offset)
            let transactions = TransactionGenerator(users: 50, seed: 2).day(day)
            let times = transactions.map(\.transaction.timestampMilliseconds)
            #expect(times == times.sorted())
            for labelled in transactions {
                #expect(LakeDay(epochMilliseconds: labelled.transaction.timestampMilliseconds) == day)
                #expect(ids.insert(labelled.transaction.transactionID).inserted)
                var batch = TransactionBatch()
                let line = Array(labelled.transaction.json().utf8)
                #expect(line.withUnsafeBytes { parser.parse([$0], into: &batch) }.isEmpty)
                #expect(batch.transaction(0) == labelled.transaction)
            }
        }
    }

    @Test func fraudsOfAllKindsAreRare() {
        let generator = TransactionGenerator(users: 300, seed: 1)
        let all = (0..<60).flatMap { generator.day(Workshop.start.adding(days: $0)) }
        let share = Double(all.count { $0.isFraud }) / Double(all.count)
        #expect((0.004...0.011).contains(share), "\(share)")
        for kind in PlantedFraud.usual { #expect(all.count { $0.fraud == kind } > 50) }
        let perUser = Dictionary(grouping: all, by: \.transaction.userID)
        #expect(perUser.count == 300)
        #expect(perUser.values.allSatisfy { $0.count > 70 })
    }

    /// Mules add to what there is without them.
    @Test func mulesAreFewMerchantsAndOrdinaryPayments() {
        let days = (0..<30).map { Workshop.start.adding(days: $0) }
        let plain = days.flatMap { TransactionGenerator(users: 200, seed: 4).day($0) }
        let all = days.flatMap { TransactionGenerator(users: 200, seed: 4, mules: 6).day($0) }
        func text(_ labelled: LabelledTransaction) -> String {
            var transaction = labelled.transaction
            transaction.transactionID = ""
            return transaction.json()
        }
        #expect(all.filter { $0.fraud != .mule }.map(text) == plain.map(text))
        let mules = all.filter { $0.fraud == .mule }
        #expect(mules.count > 50)
        let merchants = Set(mules.compactMap(\.transaction.merchantID))
        #expect((6...18).contains(merchants.count), "\(merchants)")
        let honest = plain.map(\.transaction.amount).sorted()
        let theirs = mules.map(\.transaction.amount).sorted()
        #expect(theirs[theirs.count / 2] < 3 * honest[honest.count / 2])
    }

    @Test func complaintsComeLateAndAreLabels() throws {
        let folder = try TemporaryFolder()
        var set = GenerateDataSet(users: 40, days: 20, seed: 5, start: Workshop.start, streamDays: 5)
        set.labelDelayDays = 3
        let result = try set.write(to: folder.path) { _ in }
        let lines = try String(contentsOfFile: folder.path + "/labels.jsonl", encoding: .utf8).split(
            separator: "\n")
        let parser = LabelParser(defaultSource: "", now: .max / 2)
        let labels = try lines.map { try parser.label(Data($0.utf8)) }
        #expect(labels.count == result.frauds && !labels.isEmpty)
        #expect(labels.allSatisfy { $0.isFraud && $0.source == "chargeback" })
        #expect(labels.map(\.knownMilliseconds) == labels.map(\.knownMilliseconds).sorted())
        // The lake says nothing itself.
        var labelled = 0
        try LakeReader(store: folder.store("lake")).scan(
            days: Workshop.start...Workshop.start.adding(days: 19), columns: ["is_fraud"]
        ) { labelled += try $0.labels("is_fraud").count { $0 != nil } }
        #expect(labelled == 0)
    }

    @Test func aDataSetIsALakeAStreamAndItsLabels() throws {
        let folder = try TemporaryFolder()
        var set = GenerateDataSet(users: 10, days: 8, seed: 5, start: Workshop.start, streamDays: 3)
        set.lateShare = 0.05
        set.malformedShare = 0.03
        let result = try set.write(to: folder.path) { _ in }
        #expect(result.lakeDays == Workshop.start...Workshop.start.adding(days: 4))
        let reader = LakeReader(store: folder.store("lake"))
        let scan = try reader.scan(
            days: Workshop.start...Workshop.start.adding(days: 7), columns: ["is_fraud"]
        ) { _ in }
        #expect(scan.files == 5)
        #expect(scan.rows == result.lakeTransactions)

        let stream = try String(contentsOfFile: folder.path + "/stream.jsonl", encoding: .utf8)
        let lines = stream.split(separator: "\n")
        #expect(lines.count == result.streamRecords)
        let parser = TransactionParser()
        var batch = TransactionBatch()
        var malformed = 0
        for line in lines {
            malformed += Array(line.utf8).withUnsafeBytes { parser.parse([$0], into: &batch) }.count
        }
        #expect(malformed > 0)
        let labels = try String(contentsOfFile: folder.path + "/labels.csv", encoding: .utf8).split(
            separator: "\n")
        #expect(labels.first == "transaction_id,is_fraud,kind")
        #expect(labels.count - 1 == batch.count)
        let ids = Set((0..<batch.count).compactMap { batch.text(.transactionID, $0) })
        #expect(ids == Set(labels.dropFirst().map { String($0.prefix { $0 != "," }) }))
        let times = batch.timestampMilliseconds
        #expect(zip(times, times.dropFirst()).contains { $0 > $1 })

        // Again, byte for byte.
        let again = try TemporaryFolder()
        #expect(try set.write(to: again.path) { _ in } == result)
        for name in ["stream.jsonl", "labels.csv", "lake/processed/2026/01/03/part-0.parquet"] {
            #expect(
                FileManager.default.contents(atPath: folder.path + "/" + name)
                    == FileManager.default.contents(atPath: again.path + "/" + name))
        }
    }

    @Test func ourNormalNumbersAreNormalEnough() {
        var random = TestRandom(seed: 1)
        let numbers = (0..<20_000).map { _ in random.normal() }
        let mean = numbers.reduce(0, +) / 20_000
        let variance = numbers.reduce(0) { $0 + $1 * $1 } / 20_000
        #expect(abs(mean) < 0.03)
        #expect(abs(variance - 1) < 0.05)
        #expect(abs(Double(numbers.count { $0 > 1.645 }) / 20_000 - 0.05) < 0.01)
    }
}
