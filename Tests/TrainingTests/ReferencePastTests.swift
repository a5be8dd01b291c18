import Features
import Foundation
import Lake
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// What training is told of merchants and the rest: that of the tables that served, and nothing later.
@Suite struct ReferencePastTests {
    private static let hour: Int64 = 3_600_000

    /// Generated days, and labels of their frauds and of some others, one to four days late.
    private func workshop(days: Int, users: Int = 12) throws -> (Workshop, [LabelledTransaction]) {
        let workshop = try Workshop()
        let generator = TransactionGenerator(users: users, seed: 5)
        var all: [LabelledTransaction] = []
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            let transactions = generator.day(day)
            var batch = TransactionBatch()
            for labelled in transactions { batch.append(labelled.transaction) }
            try workshop.lake.put(
                "processed/\(day.path)/part-0.parquet",
                try TransactionColumns.parquetFile(batch, labels: transactions.map { _ in -1 }), if: .always)
            all += transactions
        }
        var random = TestRandom(seed: 9)
        var labels: [Label] = []
        for labelled in all where labelled.isFraud || random.below(5) == 0 {
            labels.append(
                Label(
                    transactionID: labelled.transaction.transactionID,
                    isFraud: labelled.isFraud || random.below(20) == 0,
                    knownMilliseconds: labelled.transaction.timestampMilliseconds
                        + Int64(24 + random.below(72)) * Self.hour, source: "test"))
        }
        try LabelFiles(lake: workshop.lake).write(labels, name: "test")
        return (workshop, all)
    }

    private struct Row {
        let row: HistoryRow
        let features: [Float]
    }

    private func rows(
        _ workshop: Workshop, _ days: ClosedRange<LakeDay>, asOf: Int64 = .max, hours: Int = 1,
        memoryBytes: Int = 1 << 30
    ) throws -> [Row] {
        var past = ReferencePast.Settings()
        past.lagDays = 2
        past.tableHours = hours
        let history = try HistoryScan(
            reader: LakeReader(store: workshop.lake), days: days, warmUpDays: 3, userIDs: nil,
            scratch: workshop.folder.path, memoryBytes: memoryBytes,
            labels: try LabelIndex(LabelFiles(lake: workshop.lake), asOf: asOf),
            references: ReferencePast(past)
        ).run(isCancelled: { false }, progress: { _ in })
        var rows: [Row] = []
        try history.takeAll { part in
            try HistoryFold(startMilliseconds: days.lowerBound.startMilliseconds).run(
                part, isCancelled: { false },
                visit: { prepared, _ in
                    rows.append(Row(row: prepared.row, features: Array(prepared.features)))
                })
        }
        return rows.sorted { $0.row.transaction < $1.row.transaction }
    }

    private func bits(_ row: Row) -> [UInt32] {
        UserWindow.referencePlaces.map { row.features[$0].bitPattern }
    }

    /// The one thing that matters: training and serving see the same bits.
    @Test(arguments: [1, 24]) func rowsAreToldWhatTheTableOfTheirHourSays(hours: Int) throws {
        let (workshop, all) = try workshop(days: 8, users: 60)
        let day = Workshop.start.adding(days: 6)
        let rows = try rows(workshop, day...day, hours: hours)
        let transactions = Dictionary(
            uniqueKeysWithValues: all.map { (TextHash.hash($0.transaction.transactionID), $0.transaction) })
        var settings = ReferenceRefresh.Settings()
        settings.lagDays = 2
        let store = ReferenceStore(objects: workshop.folder.store("tables"))
        var tables: [Int64: ReadyReferences] = [:]
        var (informed, reported) = (0, 0)
        func feature(_ name: String, _ row: Row) throws -> Float {
            row.features[try #require(FeatureSchema.index(of: name))]
        }
        for row in rows {
            let step = row.row.timestampMilliseconds / (Int64(hours) * Self.hour) * Int64(hours)
            if tables[step] == nil {
                let summary = try ReferenceRefresh(lake: workshop.lake, store: store, settings: settings).run(
                    asOf: step * Self.hour)
                tables[step] = try store.load(summary.version)
            }
            let transaction = try #require(transactions[row.row.transaction])
            func hash(_ text: String?) -> UInt64 { text.map { TextHash.hash($0) } ?? 0 }
            let keys = ReferenceKeys(
                merchant: hash(transaction.merchantID), device: hash(transaction.deviceID),
                country: hash(transaction.country), category: hash(transaction.category),
                user: hash(transaction.userID))
            var served = row.features
            let table = try #require(tables[step]).table
            served.withUnsafeMutableBufferPointer { table.entries(keys).writeFeatures(into: $0) }
            #expect(served.map(\.bitPattern) == row.features.map(\.bitPattern))
            if try feature("merchant_count_2d", row) > 0 { informed += 1 }
            if try feature("merchant_fraud_days", row) > 0 { reported += 1 }
        }
        #expect(!rows.isEmpty && informed > 0 && reported > 0)
    }

    /// Rows that were put aside in files come back with their references.
    @Test func memoryMakesNoDifference() throws {
        let (workshop, _) = try workshop(days: 6)
        let days = Workshop.start.adding(days: 4)...Workshop.start.adding(days: 5)
        let large = try rows(workshop, days)
        let small = try rows(workshop, days, memoryBytes: 10_000)
        #expect(large.map(bits) == small.map(bits))
        #expect(large.map(\.row.label) == small.map(\.row.label))
    }

    /// A label that becomes known later changes no feature of an earlier row, and no label before that moment.
    @Test(arguments: 0..<6 as Range<UInt64>) func movingALabelChangesNothingBefore(seed: UInt64) throws {
        let (workshop, all) = try workshop(days: 9)
        let days = Workshop.start.adding(days: 4)...Workshop.start.adding(days: 8)
        var random = TestRandom(seed: seed)
        let asOf = days.upperBound.adding(days: 1).startMilliseconds
        let before = try rows(workshop, days, asOf: asOf)
        let chosen = all[random.below(all.count)].transaction
        let known = max(
            chosen.timestampMilliseconds,
            days.lowerBound.startMilliseconds + Int64(random.below(5 * 24)) * Self.hour)
        try LabelFiles(lake: workshop.lake).write(
            [
                Label(
                    transactionID: chosen.transactionID, isFraud: true, knownMilliseconds: known,
                    source: "moved")
            ],
            name: "moved")
        let after = try rows(workshop, days, asOf: asOf)
        for (old, new) in zip(before, after) where old.row.timestampMilliseconds <= known {
            #expect(bits(old) == bits(new), "seed \(seed), known \(known)")
        }
        // As of a moment before it became known, all is as it was.
        let earlier = try rows(workshop, days, asOf: known - 1)
        let without = try {
            for file in try LabelFiles(lake: workshop.lake).files(in: LabelFiles.allDays)
            where file.key.contains("moved") { try workshop.lake.delete(file.key) }
            return try rows(workshop, days, asOf: known - 1)
        }()
        #expect(earlier.map(bits) == without.map(bits))
        #expect(earlier.map(\.row.label) == without.map(\.row.label))
    }

    @Test func labelsAreThoseThatWereKnown() throws {
        let (workshop, all) = try workshop(days: 8)
        let days = Workshop.start...Workshop.start.adding(days: 7)
        let frauds = Set(all.filter(\.isFraud).map { TextHash.hash($0.transaction.transactionID) })
        let end = try rows(workshop, days)
        let known = end.filter { $0.row.label == 1 }.map(\.row.transaction)
        #expect(frauds.isSubset(of: known))
        let early = try rows(workshop, days, asOf: days.lowerBound.adding(days: 3).startMilliseconds)
        #expect(early.filter { $0.row.label == 1 }.count < known.count)
        let cut = days.lowerBound.adding(days: 3).startMilliseconds
        #expect(early.allSatisfy { $0.row.label != 1 || $0.row.timestampMilliseconds < cut })
    }

    /// Silence means genuine once nine of ten labels of frauds would have come.
    @Test func silenceIsGenuineWhenLabelsWouldHaveCome() {
        var maturity = LabelMaturity()
        let latest: Int64 = 1_000_000_000_000
        let index = LabelIndex.known([(7, latest, true)])
        #expect(maturity.genuineUntil(index) == .min)
        for delay in 1...100 { maturity.add(delay: Int64(delay)) }
        #expect(maturity.genuineUntil(index) == latest - 91)
    }
}

extension LabelIndex {
    /// Labels as a test says them.
    fileprivate static func known(_ rows: [(UInt64, Int64, Bool)]) -> LabelIndex {
        LabelIndex(
            rows: rows.map { LabelFiles.Row(transaction: $0.0, knownAt: $0.1, isFraud: $0.2) }, asOf: .max)
    }
}
