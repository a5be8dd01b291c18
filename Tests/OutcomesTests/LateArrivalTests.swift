import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Features
@testable import Outcomes

/// What comes late, or twice, or otherwise than before: a table is that of a refresh from nothing all the same.
@Suite struct LateArrivalTests {
    private func label(_ id: String, _ isFraud: Bool, day: Int, hours: Int64 = 0) -> Label {
        Label(
            transactionID: id, isFraud: isFraud,
            knownMilliseconds: firstDay.adding(days: day).startMilliseconds + hours * hour, source: "test")
    }

    private func moment(_ day: Int, hours: Int64 = 0) -> Int64 {
        firstDay.adding(days: day).startMilliseconds + hours * hour
    }

    private func refresh(
        _ world: World, _ moment: Int64, isFull: Bool = false
    ) throws -> ReferenceRefresh.Summary {
        try world.refresh().run(asOf: moment, isFull: isFull)
    }

    /// What a refresh gives that finds nothing of earlier ones.
    private func fromNothing(_ world: World, _ moment: Int64) throws -> ReferenceRefresh.Summary {
        let kept = try world.lake.listAll(prefix: "references/").map { object in
            (object.key, try #require(try world.lake.get(object.key)).bytes)
        }
        for (key, _) in kept { try world.lake.delete(key) }
        let store = ReferenceStore(objects: world.folder.store("from nothing"))
        let summary = try ReferenceRefresh(lake: world.lake, store: store, settings: World.settings).run(
            asOf: moment)
        for object in try world.lake.listAll(prefix: "references/") { try world.lake.delete(object.key) }
        for (key, bytes) in kept { try world.lake.put(key, bytes, if: .always) }
        return summary
    }

    // MARK: The promise

    /// Something that arrives in a lake.
    private enum Delivery {
        case transactions([Transaction], LakeDay, name: String)
        case labels([Label], name: String)
        case removal(prefix: String)
    }

    private func deliver(_ delivery: Delivery, to world: World) throws {
        switch delivery {
        case .transactions(let rows, let day, let name): try world.write(rows, to: day, name: name)
        case .labels(let labels, let name): try LabelFiles(lake: world.lake).write(labels, name: name)
        case .removal(let prefix):
            if let last = try world.lake.listAll(prefix: prefix).last { try world.lake.delete(last.key) }
        }
    }

    /// Files of a random world, in random order: most about when they are of, some much later, some once more with other
    /// rows.
    private func deliveries(_ world: World, days: Int, _ random: inout TestRandom) -> [Delivery] {
        var due: [(day: Double, delivery: Delivery)] = []
        func late() -> Double {
            random.below(4) == 0 ? random.unit() * Double(days) : random.unit() * 1.5
        }
        for day in 0..<days {
            let folder = firstDay.adding(days: day)
            let rows = world.transactions.filter {
                LakeDay(epochMilliseconds: $0.timestampMilliseconds) == folder
            }
            let cut = random.below(rows.count + 1)
            for (name, part) in [("a", rows[..<cut]), ("b", rows[cut...])] where !part.isEmpty {
                let sent = Double(day + 1) + late()
                due.append((sent, .transactions(Array(part), folder, name: name)))
                if random.below(6) == 0 {
                    due.append((sent + late(), .transactions(Array(part.dropLast()), folder, name: name)))
                }
            }
        }
        // Contradictions: each transaction is said to be one thing and then another, before or after it happened.
        var labels = world.labels
        for _ in 0..<world.transactions.count / 4 {
            let transaction = world.transactions[random.below(world.transactions.count)]
            for _ in 0..<1 + random.below(3) {
                let known = transaction.timestampMilliseconds + Int64(random.below(6 * 24) - 24) * hour
                labels.append(
                    Label(
                        transactionID: transaction.transactionID, isFraud: random.below(2) == 0,
                        knownMilliseconds: known, source: "another"))
            }
        }
        labels.shuffle(using: &random)
        for (number, start) in stride(from: 0, to: labels.count, by: 5).enumerated() {
            let some = Array(labels[start..<min(start + 5, labels.count)])
            let known = some.map(\.knownMilliseconds).max() ?? 0
            let day = Double(known - firstDay.startMilliseconds) / 86_400_000
            due.append((day + late(), .labels(some, name: "labels \(number)")))
        }
        for _ in 0..<2 { due.append((Double(days) * random.unit(), .removal(prefix: "labels/"))) }
        return due.sorted { $0.day < $1.day }.map(\.delivery)
    }

    @Test(arguments: 0..<6 as Range<UInt64>) func whateverComesLateATableIsThatOfOneFromNothing(seed: UInt64)
        throws
    {
        let days = 14
        var random = TestRandom(seed: seed &+ 900)
        let world = try World(seed: seed, days: days, perDay: 14)
        var next = deliveries(world, days: days, &random)[...]
        try world.write(Array(world.transactions.prefix(2)), to: firstDay, name: "first")
        var day = 1.0
        while !next.isEmpty {
            for delivery in next.prefix(1 + random.below(9)) {
                try deliver(delivery, to: world)
                next = next.dropFirst()
            }
            day += 1.2 * random.unit()
            // Now and then a moment that is over is asked for.
            let asked = random.below(6) == 0 ? day * random.unit() : day
            let moment = firstDay.startMilliseconds + Int64(asked * 86_400_000)
            let summary = try refresh(world, moment)
            let expected = try fromNothing(world, moment)
            #expect(summary.sha256 == expected.sha256, "seed \(seed), day \(asked)")
            #expect(summary.waiting == expected.waiting && summary.frauds == expected.frauds)
            // What nothing touches since is not read again.
            let again = try refresh(world, moment)
            #expect(again.sha256 == summary.sha256 && again.days <= 1)
        }
    }

    // MARK: Days of transactions

    /// A lake is loaded at night: tables of the hours before know nothing of the day that is over.
    @Test func aDayThatIsLoadedAfterItsMidnightIsInTheNextTable() throws {
        let world = try World(seed: 31, days: 9)
        try world.writeLabels()
        for day in 0..<9 {
            // At midnight what came before is read, and at two the day.
            if day > 0 { _ = try refresh(world, moment(day + 1)) }
            let folder = firstDay.adding(days: day)
            let rows = world.transactions.filter {
                LakeDay(epochMilliseconds: $0.timestampMilliseconds) == folder
            }
            try world.write(rows, to: folder, name: "part-0")
            let late = try refresh(world, moment(day + 1, hours: 3))
            #expect(late.days == 1, "day \(day)")
            #expect(try late.sha256 == fromNothing(world, moment(day + 1, hours: 3)).sha256, "day \(day)")
        }
    }

    @Test func aDayFarBackIsReadAgainWithThoseSinceAndNotAll() throws {
        let world = try World(seed: 32, days: 40, perDay: 6)
        try world.writeTransactions()
        try world.writeLabels()
        for day in 20...40 { _ = try refresh(world, moment(day)) }
        let folder = firstDay.adding(days: 30)
        try world.write([world.transactions[3]], to: folder, name: "late")
        let again = try refresh(world, moment(40))
        #expect((10...30).contains(again.days))
        #expect(try again.sha256 == fromNothing(world, moment(40)).sha256)
    }

    /// A lake that keeps so many days loses one every day: that is no reason to read all others again.
    @Test func daysThatTheLakeLetsGoOfAreNotMissed() throws {
        let world = try World(seed: 33, days: 8)
        try world.writeTransactions()
        try world.writeLabels()
        let before = try refresh(world, moment(7))
        try world.lake.delete("processed/\(firstDay.path)/part-0.parquet")
        let after = try refresh(world, moment(7))
        #expect(after.days == 0 && after.sha256 == before.sha256)
        #expect(try refresh(world, moment(8)).days == 1)
        #expect(try refresh(world, moment(8), isFull: true).days == 7)
        // One from the middle has changed what was.
        try world.lake.delete("processed/\(firstDay.adding(days: 4).path)/part-0.parquet")
        #expect(try refresh(world, moment(8)).sha256 == fromNothing(world, moment(8)).sha256)
    }

    // MARK: Labels

    /// The label that became known last stands, whichever came first.
    @Test func whatWasKnownBeforeTakesNothingBack() throws {
        let world = try World(seed: 34, days: 12, delayDays: 500...501)
        try world.writeTransactions()
        let labels = LabelFiles(lake: world.lake)
        let id = world.transactions[5].transactionID
        try labels.write([label(id, true, day: 8)], name: "fraud")
        #expect(try refresh(world, moment(10)).frauds == 1)
        try labels.write([label(id, false, day: 4)], name: "genuine")
        let after = try refresh(world, moment(11))
        #expect(after.frauds == 1)
        #expect(try after.sha256 == refresh(world, moment(11), isFull: true).sha256)
    }

    @Test func aFraudThatWasTakenBackBeforeItIsReportedDoesNotCount() throws {
        let world = try World(seed: 34, days: 12, delayDays: 500...501)
        try world.writeTransactions()
        let labels = LabelFiles(lake: world.lake)
        let (id, other) = (world.transactions[5].transactionID, world.transactions[6].transactionID)
        try labels.write([label(id, false, day: 8), label(other, true, day: 8)], name: "first")
        #expect(try refresh(world, moment(10)).frauds == 1)
        try labels.write([label(id, true, day: 7)], name: "second")
        let after = try refresh(world, moment(11))
        #expect(after.frauds == 1)
        #expect(try after.sha256 == refresh(world, moment(11), isFull: true).sha256)
    }

    @Test func aFileOfLabelsThatGrowsSaysNothingTwice() throws {
        let world = try World(seed: 34, days: 12, delayDays: 500...501)
        try world.writeTransactions()
        let labels = LabelFiles(lake: world.lake)
        let (id, other) = (world.transactions[5].transactionID, world.transactions[6].transactionID)
        let fraud = label(id, true, day: 7)
        try labels.write([fraud], name: "a", isReplacing: true)
        try labels.write([label(id, false, day: 8)], name: "b", isReplacing: true)
        #expect(try refresh(world, moment(10)).frauds == 0)
        try labels.write([fraud, label(other, true, day: 7, hours: 1)], name: "a", isReplacing: true)
        let after = try refresh(world, moment(11))
        #expect(after.frauds == 1)
        #expect(try after.sha256 == refresh(world, moment(11), isFull: true).sha256)
    }

    /// Fraud, genuine, fraud: of the last one the amount counts too, as training is told.
    @Test func aFraudThatIsOneAgainHasItsAmount() throws {
        let world = try World(seed: 35, days: 0)
        let transactions = (0..<5).map { day in
            Transaction(
                transactionID: "a\(day)", userID: "u", amount: 23,
                timestampMilliseconds: moment(day, hours: 2), merchantID: "m")
        }
        for (day, transaction) in transactions.enumerated() {
            try world.write([transaction], to: firstDay.adding(days: day), name: "part-0")
        }
        try LabelFiles(lake: world.lake).write(
            [
                label("a0", true, day: 1, hours: 12), label("a0", false, day: 2, hours: 8),
                label("a0", true, day: 2, hours: 12),
            ], name: "labels")
        _ = try refresh(world, moment(4, hours: 10))
        let store = ReferenceStore(objects: world.tables)
        let table = try store.load(try #require(try store.latest())).table
        let index = try LabelIndex(LabelFiles(lake: world.lake), asOf: .max)
        var timeline = ReferenceTimeline(step: firstDay.firstStep, lagDays: World.settings.lagDays)
        for day in 0..<4 {
            try timeline.takeDay(firstDay.adding(days: day), of: LakeReader(store: world.lake), labels: index)
        }
        let today = firstDay.adding(days: 4)
        timeline.add(transactions[4].row, own: nil, labels: index, day: today)
        timeline.advance(to: today.firstStep + 10)
        let told = ReferenceView(timeline.state, at: today.firstStep + 10).entries(
            transactions[0].keys, in: timeline.state)
        let served = table.entries(transactions[0].keys)
        #expect(abs((served.merchant?.fraudAmount ?? 0) - Float(LogAmount.of(23))) < 1e-5)
        #expect(served.bits(23) == told.bits(23))
    }

    /// A transaction that came as a fraud and was found to be none on the same day.
    @Test func whatCameWithATransactionIsTakenBackOnItsDay() throws {
        let world = try World(seed: 36, days: 0)
        let writer = try ParquetWriter(columns: [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text),
            ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
            ParquetColumn("is_fraud", .real),
        ])
        try writer.append([
            .text(TextColumn(["a", "b"])), .text(TextColumn(["u", "v"])), .real([1, 2]),
            .timestampMilliseconds([moment(0, hours: 2), moment(0, hours: 3)]), .real([1, 1]),
        ])
        try world.lake.put("processed/\(firstDay.path)/part.parquet", try writer.finish(), if: .always)
        try LabelFiles(lake: world.lake).write([label("a", false, day: 0, hours: 9)], name: "labels")
        #expect(try refresh(world, moment(0, hours: 9)).frauds == 2)
        #expect(try refresh(world, moment(0, hours: 10)).frauds == 1)
        #expect(try refresh(world, moment(1)).frauds == 1)
    }

    /// How far back a label finds its transaction does not depend on where a refresh began.
    @Test func aLabelReachesAsFarBackWhereverARefreshBegan() throws {
        let world = try World(seed: 37, days: 30, perDay: 4, delayDays: 500...501)
        try world.writeTransactions()
        var settings = World.settings
        settings.reachDays = 10
        let early = world.transactions[0].transactionID
        let recent = world.transactions[4 * 12].transactionID
        try LabelFiles(lake: world.lake).write(
            [label(early, true, day: 20), label(recent, true, day: 20)], name: "labels")
        _ = try world.refresh(settings).run(asOf: moment(15))
        let summary = try world.refresh(settings).run(asOf: moment(22))
        let full = try world.refresh(settings).run(asOf: moment(22), isFull: true)
        #expect(summary.frauds == 1 && summary.waiting == 1)
        #expect(full.frauds == 1 && full.waiting == 1 && full.sha256 == summary.sha256)
    }

    // MARK: What is kept

    @Test func keysThatAreDamagedOrGoneAreMadeAnew() throws {
        let world = try World(seed: 38, days: 9)
        try world.writeTransactions()
        try world.writeLabels()
        let keys = "references/keys/\(firstDay.adding(days: 5).path).keys"
        let last = try fromNothing(world, moment(8)).sha256
        for damage in ["cut off", "gone", "all gone"] {
            _ = try refresh(world, moment(7), isFull: true)
            let sound = try #require(try world.lake.get(keys)).bytes
            for state in try world.lake.listAll(prefix: "references/state/")
            where state.key.contains(firstDay.adding(days: 8).path) {
                try world.lake.delete(state.key)
            }
            switch damage {
            case "cut off": try world.lake.put(keys, Array(sound.dropLast(40)), if: .always)
            case "gone": try world.lake.delete(keys)
            default:
                for object in try world.lake.listAll(prefix: "references/keys/") {
                    try world.lake.delete(object.key)
                }
            }
            let summary = try refresh(world, moment(8))
            #expect(summary.sha256 == last, "\(damage)")
            #expect(try world.lake.get(keys)?.bytes == sound, "\(damage)")
        }
    }

    /// Another process may have kept them, of what the day held before or after.
    @Test func keysOfOtherFilesAreNotTaken() throws {
        let world = try World(seed: 40, days: 1)
        let files = ReferenceFiles(lake: world.lake)
        try files.write(world.transactions.map(\.row), of: firstDay, from: 1)
        #expect(try files.rows(of: firstDay, from: 1)?.map(\.amount) == world.transactions.map(\.amount))
        let others = try files.rows(of: firstDay, from: 2)
        #expect(others == nil)
    }

    /// States and keys of format 1 did not say what they were made of: they are passed over, and replaced.
    @Test func whatAnEarlierFormatKeptIsMadeAnew() throws {
        let world = try World(seed: 39, days: 6)
        try world.writeTransactions()
        try world.writeLabels()
        let day = firstDay.adding(days: 4)
        // A whole state of format 1: a lag of two days, no things, no frauds, nothing that waits, no files.
        var state = ByteWriter(magic: "MLREFST1")
        state.append(Int64(2))
        for _ in 0..<1 + 10 + 4 { state.append(UInt64(0)) }
        try world.lake.put("references/state/\(day.path).state", state.finish(), if: .always)
        var keys = ByteWriter(magic: "MLREFKY1")
        keys.append(UInt64(0))
        try world.lake.put(
            "references/keys/\(firstDay.adding(days: 3).path).keys", keys.finish(), if: .always)
        let summary = try refresh(world, moment(5))
        #expect(summary.days == 5)
        #expect(try summary.sha256 == fromNothing(world, moment(5)).sha256)
        let replaced = try #require(try world.lake.get("references/state/\(day.path).state")).bytes
        #expect(replaced.starts(with: "MLREFST2".utf8))
    }

    @Test func statesAreKeptFewerTheOlderTheyAre() {
        for newest in 1_000..<1_200 {
            let kept = (0...newest).filter {
                ReferenceFiles.isKept(LakeDay(dayNumber: $0), newest: LakeDay(dayNumber: newest))
            }
            #expect(kept.suffix(3) == [newest - 2, newest - 1, newest])
            #expect(kept.count <= 13)
            // None comes back that was let go of.
            let before = Set(
                (0..<newest).filter {
                    ReferenceFiles.isKept(LakeDay(dayNumber: $0), newest: LakeDay(dayNumber: newest - 1))
                })
            #expect(before.isSuperset(of: kept.dropLast()))
            for late in 1...500 {
                let begin = kept.last { $0 <= newest - late }
                #expect(begin.map { newest - $0 <= 4 * late } == true, "\(newest), \(late)")
            }
        }
    }
}
