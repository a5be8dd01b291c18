import DetectorAPI
import Features
import TailSurprise
import Testing
import Transactions

@testable import Models
@testable import Training

/// An analyst's check: of planted frauds of known kind, the first reason names what was planted.
@Suite struct ReasonCauseTests {
    private static let causes: [PlantedFraud: Set<String>] = [
        .amountBurst: ["amount"],
        .impossibleTravel: ["speed_kmh", "new_country", "new_device"],
        .cardTesting: ["count_1h", "seconds_since_last", "amount"],
    ]

    @Test(arguments: [UInt64(5), 6, 7, 8]) func theFirstReasonNamesThePlantedCause(seed: UInt64) throws {
        let workshop = try Workshop()
        workshop.registry.register(TailSurprise())
        let trainingDays = 45
        try workshop.generate(users: 150, days: trainingDays, seed: seed)
        _ = try workshop.run(Workshop.request(days: trainingDays, detector: "auto", promote: true))
        let model = try #require(try workshop.router.globalModel())
        let explaining = try #require(model.model as? any Explaining)

        let generator = TransactionGenerator(users: 150, seed: seed)
        var windows: [String: UserWindow] = [:]
        var named = 0
        var frauds: [String] = []
        for index in 0..<trainingDays + 25 {
            for labelled in generator.day(Workshop.start.adding(days: index)) {
                var batch = TransactionBatch()
                batch.append(labelled.transaction)
                let event = WindowEvent(batch, row: 0)
                let window = windows[labelled.transaction.userID] ?? UserWindow()
                defer { windows[labelled.transaction.userID, default: UserWindow()].fold(event) }
                guard index >= trainingDays, let kind = labelled.fraud else { continue }
                let (score, reasons) = try explain(explaining, model.plan, window, batch)
                // What raises no alert is explained to nobody.
                guard score < model.threshold, frauds.count < 60 else { continue }
                let first = reasons.first.map { "\($0.name): \($0.sentence)" } ?? "nothing"
                frauds.append("\(kind.rawValue): \(first)")
                if let name = reasons.first?.name, Self.causes[kind]?.contains(name) ?? false { named += 1 }
                for reason in reasons { #expect(!reason.sentence.isEmpty) }
            }
        }
        #expect(frauds.count >= 30, "alerts on planted frauds: \(frauds.count)")
        #expect(named * 30 >= frauds.count * 25, "\(named) of \(frauds.joined(separator: "\n"))")
    }

    private func explain(
        _ model: any Explaining, _ plan: PreprocessingPlan, _ window: UserWindow, _ batch: TransactionBatch
    ) throws -> (Double, [FeatureReason]) {
        var features = [Float](repeating: 0, count: UserWindow.featureCount)
        var encoded = [Float](repeating: 0, count: plan.columnCount)
        var scores = [0.0]
        var contributions = [Double](repeating: 0, count: plan.columnCount)
        return try features.withUnsafeMutableBufferPointer { features in
            let event = WindowEvent(batch, row: 0)
            window.writeFeatures(for: event, into: features)
            let numeric = UnsafeBufferPointer(features)
            encoded.withUnsafeMutableBufferPointer {
                plan.apply(numeric: numeric, batch: batch, row: 0, into: $0)
            }
            try encoded.withUnsafeBufferPointer { encoded in
                try scores.withUnsafeMutableBufferPointer { scores in
                    try contributions.withUnsafeMutableBufferPointer {
                        try model.explain(
                            FeatureRows(encoded, columns: plan.columnCount), into: scores, contributions: $0)
                    }
                }
            }
            return contributions.withUnsafeBufferPointer {
                let reasons = plan.reasons(
                    contributions: $0, numeric: numeric, memory: window.memory(for: event), batch: batch,
                    row: 0, limit: 3)
                return (scores[0], reasons)
            }
        }
    }
}
