import DetectorAPI
import Features
import Foundation
import Lake
import Testing
import Transactions

@testable import Training

/// What training learns from must be what serving will compute.
@Suite struct PrepareTests {
    private struct Row: Hashable {
        let transaction: UInt64
        /// Bits: a missing number equals a missing number.
        let features: [UInt32]
    }

    /// The features of the rows in range, as prepare makes them.
    private func prepared(
        _ workshop: Workshop, days: ClosedRange<LakeDay>, warmUpDays: Int, userID: String? = nil,
        memoryBytes: Int = 1 << 30
    ) throws -> [Row] {
        let history = try HistoryScan(
            reader: LakeReader(store: workshop.lake), days: days, warmUpDays: warmUpDays,
            userIDs: userID.map { [$0] },
            scratch: workshop.folder.path, memoryBytes: memoryBytes
        ).run(isCancelled: { false }, progress: { _ in })
        var rows: [Row] = []
        try history.takeAll { part in
            try HistoryFold(startMilliseconds: days.lowerBound.startMilliseconds).run(
                part, isCancelled: { false },
                visit: { prepared, _ in
                    rows.append(
                        Row(
                            transaction: prepared.row.transaction,
                            features: prepared.features.map(\.bitPattern)))
                })
        }
        #expect(history.rowCount == rows.count)
        return rows
    }

    /// The same from the stream: JSON, parsed, folded record by record, every user's window at hand.
    private func streamed(_ transactions: [LabelledTransaction], from start: Int64) -> [Row] {
        let parser = TransactionParser()
        var windows: [UInt64: UserWindow] = [:]
        var rows: [Row] = []
        for labelled in transactions {
            var batch = TransactionBatch()
            let line = Array(labelled.transaction.json().utf8)
            #expect(line.withUnsafeBytes { parser.parse([$0], into: &batch) }.isEmpty)
            let event = WindowEvent(batch, row: 0)
            let user = batch.hash(.userID, 0)
            var features = [Float](repeating: 0, count: UserWindow.featureCount)
            var window = windows[user] ?? UserWindow()
            features.withUnsafeMutableBufferPointer { window.writeFeatures(for: event, into: $0) }
            window.fold(event)
            windows[user] = window
            if event.timestampMilliseconds >= start {
                rows.append(
                    Row(transaction: batch.hash(.transactionID, 0), features: features.map(\.bitPattern)))
            }
        }
        return rows
    }

    @Test func trainingSeesTheFeaturesThatServingComputes() throws {
        let workshop = try Workshop()
        let transactions = try workshop.generate(users: 12, days: 40)
        let days = Workshop.start.adding(days: 30)...Workshop.start.adding(days: 39)
        let training = try prepared(workshop, days: days, warmUpDays: 30)
        let serving = streamed(transactions, from: days.lowerBound.startMilliseconds)
        #expect(training.count > 300)
        #expect(Set(training) == Set(serving))
        #expect(training.count == serving.count)
    }

    @Test func oneUsersRowsAreTheSameAlone() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 12, days: 20)
        let days = Workshop.start.adding(days: 10)...Workshop.start.adding(days: 19)
        let all = Set(try prepared(workshop, days: days, warmUpDays: 10))
        let one = try prepared(workshop, days: days, warmUpDays: 10, userID: "user-000007")
        #expect(one.count > 10)
        #expect(Set(one).isSubset(of: all))
    }

    @Test func neitherFilesNorMemoryChangeWhatIsPrepared() throws {
        let workshop = try Workshop()
        let transactions = try workshop.generate(users: 9, days: 12)
        let days = Workshop.start...Workshop.start.adding(days: 11)
        let once = try prepared(workshop, days: days, warmUpDays: 0)
        // Everything goes through temporary files, which are gone afterwards.
        let spilled = try prepared(workshop, days: days, warmUpDays: 0, memoryBytes: 10_000)
        #expect(Set(once) == Set(spilled))
        let left = try FileManager.default.contentsOfDirectory(atPath: workshop.folder.path)
        #expect(!left.contains { $0.hasPrefix("ml-service-") })

        // The same rows in other files, with some of them twice.
        let other = try Workshop()
        for day in days {
            let rows = transactions.filter {
                LakeDay(epochMilliseconds: $0.transaction.timestampMilliseconds) == day
            }
            try other.put(Array(rows.suffix(from: rows.count / 3)), day, name: "a")
            try other.put(Array(rows.prefix(rows.count / 2)), day, name: "b")
        }
        let doubled = try HistoryScan(
            reader: LakeReader(store: other.lake), days: days, warmUpDays: 0, userIDs: nil,
            scratch: other.folder.path, memoryBytes: 1 << 30
        ).run(isCancelled: { false }, progress: { _ in })
        #expect(doubled.rowCount > once.count)
        var rows: Set<Row> = []
        var count = 0
        try doubled.takeAll { part in
            try HistoryFold(startMilliseconds: 0).run(
                part, isCancelled: { false },
                visit: { prepared, _ in
                    count += 1
                    rows.insert(
                        Row(
                            transaction: prepared.row.transaction,
                            features: prepared.features.map(\.bitPattern)))
                })
        }
        #expect(rows == Set(once))
        #expect(count == once.count)
    }

    @Test func aSampleDependsOnTheRowsAndTheSeedAlone() throws {
        func row(_ index: Int) -> HistoryRow {
            HistoryRow(
                timestampMilliseconds: Int64(index), amount: 1, latitude: .nan, longitude: .nan, merchant: 0,
                country: 0, device: 0, category: 0, channel: 0, currency: 0, transaction: UInt64(index),
                user: 0, label: -1)
        }
        func sample(_ order: [Int], seed: UInt64) -> RowTable {
            var sample = RowSample(capacity: 100, seed: seed)
            for index in order {
                let features = [Float](repeating: Float(index), count: UserWindow.featureCount)
                features.withUnsafeBufferPointer { _ = sample.add(row(index), features: $0) }
            }
            #expect(sample.seen == order.count)
            return sample.rows()
        }
        var random = TestRandom(seed: 3)
        let forwards = sample(Array(0..<5_000), seed: 1)
        #expect(forwards.count == 100)
        #expect(forwards.features == sample(Array(0..<5_000).shuffled(using: &random), seed: 1).features)
        #expect(forwards.features != sample(Array(0..<5_000), seed: 2).features)
        // Uniform: each fifth of the rows has about 20 of the 100.
        let places = stride(from: 0, to: forwards.features.count, by: UserWindow.featureCount)
        for fifth in 0..<5 {
            let count = places.count { Int(forwards.features[$0]) / 1_000 == fifth }
            #expect((8...35).contains(count), "fifth \(fifth): \(count)")
        }
        #expect(sample(Array(0..<7), seed: 1).count == 7)
    }

    /// Priorities are random; what is not spread as they are is sorted all the same.
    @Test func aSampleIsInTheOrderOfItsPrioritiesWhateverTheyAre() {
        let row = HistoryRow(
            timestampMilliseconds: 0, amount: 1, latitude: .nan, longitude: .nan, merchant: 0, country: 0,
            device: 0, category: 0, channel: 0, currency: 0, transaction: 0, user: 0, label: -1)
        func order(_ priorities: [UInt64]) -> [Int] {
            var sample = RowSample(capacity: 700, seed: 1)
            for (index, priority) in priorities.enumerated() {
                let features = [Float](repeating: Float(index), count: UserWindow.featureCount)
                features.withUnsafeBufferPointer { _ = sample.keep(row, features: $0, priority: priority) }
            }
            let rows = sample.rows()
            return (0..<rows.count).map { Int(rows.features[$0 * UserWindow.featureCount]) }
        }
        var random = TestRandom(seed: 4)
        let spread = (0..<900).map { _ in UInt64.random(in: 0...UInt64.max, using: &random) }
        for priorities in [
            spread, spread.map { $0 >> 40 }, spread.map { $0 % 5 },
            (1..<901).reversed().map { UInt64.max - $0 },
            [UInt64.max - 1] + (0..<600).reversed().map { UInt64($0) }, [], [0], [7, 7],
        ] {
            let expected = priorities.indices.sorted { (priorities[$0], $0) < (priorities[$1], $1) }
            #expect(order(priorities) == Array(expected.prefix(700)))
        }
    }

    @Test func theHoldoutIsTheLastPartByTime() {
        #expect(SplitRows.split(0...999, holdoutShare: 0.2) == 800)
        #expect(SplitRows.split(100...100, holdoutShare: 0.2) == 101)
    }

    @Test func usersOfOneHashAreToldApart() {
        var users = HistoryUsers()
        func index(_ id: String) -> UInt32 {
            Array(id.utf8).withUnsafeBufferPointer { users.index(of: $0, hash: 42) }
        }
        #expect([index("a"), index("b"), index("a"), index("b"), index("c")] == [0, 1, 0, 1, 2])
        #expect(users.id(1) == "b")
        #expect(users.count == 3)
    }

    @Test func injectedFraudsComeFromTheUsersOwnWindow() throws {
        var window = UserWindow()
        var row = HistoryRow(
            timestampMilliseconds: 1_767_225_600_000, amount: 20, latitude: 52, longitude: 5, merchant: 11,
            country: 12, device: 13, category: 14, channel: 15, currency: 16, transaction: 17, user: 0,
            label: -1)
        for _ in 0..<20 {
            window.fold(row.event)
            row.timestampMilliseconds += 6 * 3_600_000
        }
        func value(_ injection: Injection, _ feature: String) throws -> Float {
            var features = [Float](repeating: 0, count: UserWindow.featureCount)
            // Whatever was in it before.
            var scratch = UserWindow()
            scratch.fold(row.event)
            let changed = features.withUnsafeMutableBufferPointer {
                injection.apply(to: row, window: window, scratch: &scratch, into: $0)
            }
            #expect(changed.label == Int32(injection.label))
            if injection != .oddities { #expect(changed.timestampMilliseconds == row.timestampMilliseconds) }
            return features[try #require(FeatureSchema.index(of: feature))]
        }
        #expect(try value(.amount, "amount_ratio_30d") == 10)
        #expect(try value(.amount, "new_country") == 0)
        #expect(try value(.travel, "new_country") == 1)
        #expect(try value(.travel, "new_device") == 1)
        #expect(try value(.travel, "speed_kmh") > 1_000)
        #expect(try value(.burst, "count_1h") == 8)
        #expect(try value(.burst, "new_merchant") == 1)
        #expect(try value(.burst, "seconds_since_last") == 15)
        #expect(try value(.burst, "amount_ratio_30d") < 0.1)
        // In a currency of which nobody ever pays a whole unit, too.
        row.amount = 2e-4
        #expect(try value(.burst, "amount") < 2e-4)
        row.amount = 20
        #expect(try value(.oddities, "count_1h") == 2)
        #expect(try value(.oddities, "amount_ratio_30d") < 2.1)
        #expect(try value(.oddities, "new_merchant") == 1)
        #expect(abs(try value(.oddities, "hour_sin") - 0.70710677) < 1e-6, "3 o'clock")
        // Who has neither place, country nor device does not travel.
        row.latitude = .nan
        row.country = 0
        row.device = 0
        #expect(Injection(priority: 1, row: row) == .amount)
    }
}
