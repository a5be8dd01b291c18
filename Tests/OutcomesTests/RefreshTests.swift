import Lake
import ObjectStore
import Testing
import Transactions

@testable import Features
@testable import Outcomes

/// Tables that `refresh` builds.
@Suite struct RefreshTests {
    private func bits(_ world: World, _ ready: ReadyReferences) -> [[UInt32]] {
        world.transactions.map { ready.table.entries($0.keys).bits($0.amount) }
    }

    /// Whatever was refreshed before, a table is that of its moment.
    @Test func dayByDayGivesTheBytesOfAllAtOnce() throws {
        let step = try World(seed: 21, days: 9)
        try step.writeTransactions()
        try step.writeLabels()
        let whole = try World(seed: 21, days: 9)
        try whole.writeTransactions()
        try whole.writeLabels()
        for hours in [24, 31, 48, 72, 73, 90, 150, 151, 240] as [Int64] {
            let boundary = firstDay.firstStep + hours
            #expect(try step.table(at: boundary).sha256 == whole.table(at: boundary, isFull: true).sha256)
        }
    }

    @Test func aDaysRefreshReadsOneDay() throws {
        let world = try World(seed: 4, days: 9)
        try world.writeTransactions()
        try world.writeLabels()
        #expect(try world.refresh().run(asOf: firstDay.adding(days: 7).startMilliseconds).days == 7)
        #expect(try world.refresh().run(asOf: firstDay.adding(days: 8).startMilliseconds).days == 1)
        // Nothing is new within the hour: the same version.
        let again = try world.refresh().run(asOf: firstDay.adding(days: 8).startMilliseconds + 1_000)
        #expect(again.days == 0 && again.version == 2)
    }

    /// A file that cannot be read ends the refresh by name, or is left out and named: the table is that of the others.
    @Test func aBadFileEndsTheRefreshOrIsLeftOutAndNamed() throws {
        let world = try World(seed: 12, days: 6)
        try world.writeTransactions()
        try world.writeLabels()
        let bad = firstDay.adding(days: 3)
        let key = "processed/\(bad.path)/part-0.parquet"
        let sound = try #require(try world.lake.get(key)).bytes
        try world.lake.put(key, Array(sound.prefix(sound.count / 2)), if: .always)
        let badLabels = "labels/\(firstDay.path)/bad.parquet"
        try world.lake.put(badLabels, Array("PAR1".utf8), if: .always)

        let moment = firstDay.adding(days: 6).startMilliseconds
        let error = #expect(throws: LakeError.self) { try world.refresh().run(asOf: moment) }
        #expect("\(String(describing: error))".contains("parquet"))

        var settings = World.settings
        settings.badFiles = .skip
        let summary = try world.refresh(settings).run(asOf: moment)
        #expect(summary.skipped.count == 2)
        #expect(summary.skipped.contains { $0.contains(key) })
        #expect(summary.skipped.contains { $0.contains(badLabels) })

        let without = try World(seed: 12, days: 6)
        try without.writeTransactions()
        try without.writeLabels()
        try without.lake.delete(key)
        #expect(try without.refresh().run(asOf: moment).sha256 == summary.sha256)

        // It is named as long as it is bad, and who wants to be told is told.
        let again = try world.refresh(settings).run(asOf: moment)
        #expect(again.days == 0 && again.skipped == summary.skipped)
        #expect(throws: LakeError.self) { try world.refresh().run(asOf: moment) }

        // Once it is mended, the next refresh reads it.
        try world.lake.delete(badLabels)
        try world.lake.put(key, sound, if: .always)
        let mended = try world.refresh().run(asOf: moment)
        #expect(mended.skipped.isEmpty && mended.sha256 != summary.sha256)
        #expect(try mended.sha256 == world.refresh().run(asOf: moment, isFull: true).sha256)
    }

    @Test(arguments: [([0x75, 0xC3, 0xA9], true), ([0x75, 0xC3], false), ([0x75, 0], false), ([], false)])
    func aUsersIDIsOfUTF8WithoutNUL(bytes: [UInt8], isID: Bool) {
        #expect(bytes.withUnsafeBufferPointer(RowCheck.isUserID) == isID)
    }

    /// What training passes over and counts ends no refresh: its table is of the same rows.
    @Test func rowsThatAreNoTransactionsArePassedOverAndNamed() throws {
        let world = try World(seed: 14, days: 0)
        let time = firstDay.startMilliseconds + hour
        let names = ["transaction_id", "user_id", "amount", "timestamp", "merchant_id", "is_fraud"]
        let writer = try ParquetWriter(
            columns: names.map { ParquetColumn($0, .text, isNullable: true) }
                + [ParquetColumn("latitude", .real, isNullable: true)])
        let rows: [(texts: [String?], latitude: Double)] = [
            (["a", "u", "12.5", "\(time)", "m", "true"], .nan),
            (["b", "u", "12.5", "\(time)", "m", "false"], 52),
            (["c", "u", "twelve", "\(time)", "m", nil], .nan),
            (["d", "u", "1", nil, "m", nil], .nan),
            (["e", "u", "1", "noon", "m", nil], .nan),
            (["f", nil, "1", "\(time)", "m", nil], .nan),
            (["g", "u", "1", "\(time)", "m", "perhaps"], .nan),
            (["h", "u", "1", "\(time)", "m", nil], 91),
            (["i", "v", "1", "\(time)", "NULL", nil], .nan),
            (["j", "u\u{0}", "1", "\(time)", "m", nil], .nan),
            (["k", String(repeating: "u", count: 257), "1", "\(time)", "m", nil], .nan),
        ]
        try writer.append(
            names.indices.map { column in .text(TextColumn(rows.map { $0.texts[column] })) }
                + [.real(rows.map(\.latitude))])
        try world.lake.put("processed/\(firstDay.path)/part.parquet", try writer.finish(), if: .always)
        var settings = World.settings
        settings.lagDays = 0
        let summary = try world.refresh(settings).run(asOf: firstDay.adding(days: 1).startMilliseconds)
        #expect(summary.frauds == 1)
        #expect(summary.passedOver.count == 7)
        #expect(
            summary.passedOver.contains {
                $0.hasPrefix("2 rows passed over: user_id: expected 1 to 256 bytes")
            })
        #expect(summary.passedOver.contains { $0.hasPrefix("1 row passed over: timestamp: there is none;") })
        #expect(summary.passedOver.contains { $0.contains("amount") && $0.contains("'twelve'") })
        let table = try ReferenceStore(objects: world.tables).load(summary.version).table
        let keys = Transaction(
            transactionID: "a", userID: "u", amount: 1, timestampMilliseconds: time, merchantID: "m"
        ).keys
        // Two of the merchant's rows are transactions, one of them a fraud; NULL is no merchant.
        let entry = try #require(table.entries(keys).merchant)
        #expect(entry.count(2) > 1.9 && entry.count(2) < 2.1 && entry.fraud(2) > 0.9)
        #expect(table.count == 2)
    }

    /// A file of labels that was left out counts once it can be read.
    @Test func labelsThatWereLeftOutAreReadOnceTheyCanBe() throws {
        let world = try World(seed: 13, days: 6)
        try world.writeTransactions()
        try world.writeLabels()
        let key = try #require(
            try LabelFiles(lake: world.lake).files(in: firstDay...firstDay.adding(days: 2)).first
        ).key
        let sound = try #require(try world.lake.get(key)).bytes
        try world.lake.put(key, Array(sound.prefix(20)), if: .always)
        var settings = World.settings
        settings.badFiles = .skip
        let first = try world.refresh(settings).run(asOf: firstDay.adding(days: 5).startMilliseconds)
        #expect(first.skipped.count == 1)
        try world.lake.put(key, sound, if: .always)
        let second = try world.refresh(settings).run(asOf: firstDay.adding(days: 6).startMilliseconds)
        #expect(second.skipped.isEmpty)
        let whole = try World(seed: 13, days: 6)
        try whole.writeTransactions()
        try whole.writeLabels()
        let expected = try whole.refresh().run(asOf: firstDay.adding(days: 6).startMilliseconds)
        #expect(second.sha256 == expected.sha256)
    }

    /// Training looks into the past with the timeline, serving into a table: they must agree to the bit.
    @Test func aTableSaysWhatTrainingIsTold() throws {
        let world = try World(seed: 8, days: 10)
        try world.writeTransactions()
        try world.writeLabels()
        let labels = try LabelIndex(LabelFiles(lake: world.lake), asOf: .max)
        let reader = LakeReader(store: world.lake)
        for hours in [50, 120, 121, 199] as [Int64] {
            let boundary = firstDay.firstStep + hours
            var timeline = ReferenceTimeline(step: firstDay.firstStep, lagDays: World.settings.lagDays)
            for day in 0..<Int(hours / 24) {
                try timeline.takeDay(firstDay.adding(days: day), of: reader, labels: labels)
            }
            if hours % 24 > 0 {
                let today = firstDay.adding(days: Int(hours / 24))
                for transaction in world.transactions
                where LakeDay(epochMilliseconds: transaction.timestampMilliseconds) == today {
                    timeline.add(transaction.row, own: nil, labels: labels, day: today)
                }
                timeline.advance(to: boundary)
            }
            let view = ReferenceView(timeline.state, at: boundary)
            let told = world.transactions.map { view.entries($0.keys, in: timeline.state).bits($0.amount) }
            #expect(try bits(world, world.table(at: boundary)) == told)
        }
    }

    /// A label of tomorrow is in no table of today.
    @Test func aLabelOfTomorrowIsNotKnownToday() throws {
        let world = try World(seed: 5, days: 6)
        try world.writeTransactions()
        let moment = firstDay.firstStep + 5 * 24
        let before = try world.table(at: moment)
        #expect(before.table.prior.isNaN)
        let files = LabelFiles(lake: world.lake)
        try files.write(
            [
                Label(
                    transactionID: world.transactions[3].transactionID, isFraud: true,
                    knownMilliseconds: (moment + 24) * hour, source: "test")
            ], name: "tomorrow")
        #expect(try world.table(at: moment, isFull: true).sha256 == before.sha256)
        #expect(try world.table(at: moment + 25).table.fraudCount == 1)
    }

    @Test func labelsWaitForTheirTransactionAndCountOnce() throws {
        var world = try World(seed: 6, days: 4)
        let late = world.transactions.remove(at: 100)
        let labels = LabelFiles(lake: world.lake)
        try world.writeTransactions()
        let known = firstDay.adding(days: 3).startMilliseconds + 5 * hour
        let label = Label(
            transactionID: late.transactionID, isFraud: true, knownMilliseconds: known, source: "a")
        try labels.write([label], name: "one")
        try labels.write([label], name: "the same again")
        try labels.write(
            [Label(transactionID: "never", isFraud: true, knownMilliseconds: known, source: "a")],
            name: "never")
        let waiting = try world.refresh().run(asOf: firstDay.adding(days: 4).startMilliseconds)
        #expect(waiting.frauds == 0 && waiting.waiting == 2)
        // It comes with a later day.
        let day = firstDay.adding(days: 4)
        try world.write([late], to: day, name: "part-0")
        let found = try world.refresh().run(asOf: day.adding(days: 1).startMilliseconds)
        #expect(found.frauds == 1 && found.waiting == 1)
    }

    @Test func aLabelFileThatComesLateCountsAtTheNextRefresh() throws {
        let world = try World(seed: 7, days: 6)
        try world.writeTransactions()
        _ = try world.table(at: firstDay.firstStep + 5 * 24)
        let label = Label(
            transactionID: world.transactions[10].transactionID, isFraud: true,
            knownMilliseconds: firstDay.adding(days: 2).startMilliseconds, source: "late")
        try LabelFiles(lake: world.lake).write([label], name: "late")
        #expect(try world.refresh().run(asOf: firstDay.adding(days: 6).startMilliseconds).frauds == 1)
        // Taken back by a later one.
        var back = label
        back.isFraud = false
        back.knownMilliseconds = firstDay.adding(days: 6).startMilliseconds + hour
        try LabelFiles(lake: world.lake).write([back], name: "back")
        #expect(try world.refresh().run(asOf: firstDay.adding(days: 7).startMilliseconds).frauds == 0)
    }

    @Test func aLakeWithoutLabelsGivesATableWithoutRisks() throws {
        let world = try World(seed: 9, days: 5)
        try world.writeTransactions()
        let ready = try world.table(at: firstDay.firstStep + 5 * 24)
        #expect(ready.table.prior.isNaN && ready.table.fraudCount == 0 && ready.table.count > 0)
        let features = ready.table.entries(world.transactions[0].keys).bits(1).map { Float(bitPattern: $0) }
        #expect(features[0].isNaN && features[3].isNaN)
        #expect(!features[6].isNaN || world.transactions[0].merchantID == nil)
    }

    @Test func anEmptyLakeSaysSo() throws {
        let world = try World(seed: 1, days: 0)
        #expect(throws: ReferenceError.self) { try world.table(at: firstDay.firstStep) }
    }

    @Test func aDamagedStateIsPassedOver() throws {
        let world = try World(seed: 12, days: 5)
        try world.writeTransactions()
        try world.writeLabels()
        let boundary = firstDay.firstStep + 4 * 24
        let good = try world.table(at: boundary)
        for state in try world.lake.listAll(prefix: "references/state/") {
            try world.lake.put(state.key, Array("no state".utf8), if: .always)
        }
        #expect(try world.table(at: boundary).sha256 == good.sha256)
    }
}
