import DetectorAPI
import Features
import TailSurprise
import Testing
import Transactions

@testable import Lake
@testable import Models
@testable import Training

/// What somebody sees who runs the demo for the first time: the first model, from days of which nobody has said what was
/// fraud, and its first hundred alerts.
@Suite struct NewcomerTests {
    private static let first = LakeDay(dayNumber: 20_089)  // 2025-01-01, as in scripts/demo
    private static let trainingDays = 45
    private static let streamDays = 15

    @Test(arguments: [UInt64(1), 2, 3]) func ofTheFirstHundredAlertsHalfArePlantedFrauds(seed: UInt64) throws
    {
        let workshop = try Workshop()
        workshop.registry.register(TailSurprise())
        let generator = TransactionGenerator(users: 200, seed: seed, mules: 6)
        let days = (0..<Self.trainingDays + Self.streamDays).map { index in
            generator.day(Self.first.adding(days: index))
        }
        for (index, transactions) in days.prefix(Self.trainingDays).enumerated() {
            let unlabelled = transactions.map { LabelledTransaction(transaction: $0.transaction, fraud: nil) }
            var batch = TransactionBatch()
            for labelled in unlabelled { batch.append(labelled.transaction) }
            try workshop.lake.put(
                "processed/\(Self.first.adding(days: index).path)/part-0.parquet",
                try TransactionColumns.parquetFile(batch, labels: unlabelled.map { _ in -1 }), if: .always)
        }
        _ = try workshop.run(
            TrainingRequest(
                from: Self.first, to: Self.first.adding(days: Self.trainingDays - 1), detectorID: "auto",
                promote: true))
        let model = try #require(try workshop.router.globalModel())
        #expect(model.header.detectorID == "tail-surprise")

        var windows: [String: UserWindow] = [:]
        var alerts: [Bool] = []
        for (index, transactions) in days.enumerated() {
            for labelled in transactions where alerts.count < 100 {
                let user = labelled.transaction.userID
                var batch = TransactionBatch()
                batch.append(labelled.transaction)
                let event = WindowEvent(batch, row: 0)
                let window = windows[user] ?? UserWindow()
                defer { windows[user, default: UserWindow()].fold(event) }
                guard index >= Self.trainingDays else { continue }
                if try score(model, window, batch) < model.threshold { alerts.append(labelled.isFraud) }
            }
        }
        let frauds = alerts.count { $0 }
        #expect(alerts.count >= 50, "\(alerts.count) alerts")
        #expect(frauds * 2 >= alerts.count, "\(frauds) of \(alerts.count) alerts are frauds")
    }

    private func score(
        _ model: ReadyModel, _ window: UserWindow, _ batch: TransactionBatch
    ) throws -> Double {
        var features = [Float](repeating: 0, count: UserWindow.featureCount)
        var encoded = [Float](repeating: 0, count: model.plan.columnCount)
        var scores = [0.0]
        features.withUnsafeMutableBufferPointer { features in
            window.writeFeatures(for: WindowEvent(batch, row: 0), into: features)
            encoded.withUnsafeMutableBufferPointer {
                model.plan.apply(
                    numeric: UnsafeBufferPointer(features), batch: batch, row: 0, into: $0)
            }
        }
        try encoded.withUnsafeBufferPointer { encoded in
            try scores.withUnsafeMutableBufferPointer {
                try model.model.score(FeatureRows(encoded, columns: model.plan.columnCount), into: $0)
            }
        }
        return scores[0]
    }
}
