import DetectorAPI
import Foundation
import Lake
import Models
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// What became known after the moment as of which one looks is as if it did not exist.
@Suite struct AsOfTests {
    private static let hour: Int64 = 3_600_000
    private static let days = 14
    private static let asOf = Workshop.start.adding(days: 12).startMilliseconds + 7 * hour

    /// Generated days without labels, and what they turned out to be, half a day to four days later.
    private func world() throws -> (Workshop, [Label]) {
        var workshop = try Workshop()
        workshop.settings.warmUpDays = 3
        workshop.settings.referenceLagDays = 2
        workshop.registry.register(Witness())
        let generator = TransactionGenerator(users: 14, seed: 5)
        var random = TestRandom(seed: 9)
        var labels: [Label] = []
        for index in 0..<Self.days {
            let day = Workshop.start.adding(days: index)
            let transactions = generator.day(day)
            try workshop.put(unlabelled: transactions.map(\.transaction), day)
            for labelled in transactions where labelled.isFraud || random.below(3) == 0 {
                labels.append(
                    Label(
                        transactionID: labelled.transaction.transactionID,
                        isFraud: labelled.isFraud || random.below(4) == 0,
                        knownMilliseconds: labelled.transaction.timestampMilliseconds
                            + Int64(12 + random.below(84)) * Self.hour, source: "test"))
            }
        }
        return (workshop, labels)
    }

    /// All that training and judging say as of the moment, and the model's own bytes.
    private struct Said: Equatable {
        let metrics: [String: Double]
        let payload: String?
        let backtest: BacktestReport
    }

    private func said(_ workshop: Workshop, _ labels: [Label]) throws -> Said {
        for file in try workshop.lake.listAll(prefix: "labels/") { try workshop.lake.delete(file.key) }
        try LabelFiles(lake: workshop.lake).write(labels, name: "all")
        let request = TrainingRequest(
            from: Workshop.start.adding(days: 3), to: Workshop.start.adding(days: 11), detectorID: "witness",
            asOfMilliseconds: Self.asOf, promotion: .manual)
        let outcome = try workshop.run(request, jobID: UUID().uuidString)
        let version = try #require(outcome.models.first?.version)
        var backtest = try workshop.pipeline.backtest(
            version: version, from: Workshop.start.adding(days: 8), to: Workshop.start.adding(days: 13),
            asOf: Self.asOf)
        backtest.version = 0
        return Said(
            metrics: outcome.metrics,
            payload: try workshop.models.header(of: .global, version: version)?.payloadSHA256,
            backtest: backtest)
    }

    @Test func whatBecomesKnownLaterChangesNothing() throws {
        let (workshop, labels) = try world()
        let known = labels.filter { $0.knownMilliseconds <= Self.asOf }
        let later = labels.filter { $0.knownMilliseconds > Self.asOf }
        let base = try said(workshop, labels)
        // The check can fail: there is something to know, and to be kept from.
        #expect(known.count > 100 && later.count > 30)
        #expect(base.metrics["labelled_frauds"] ?? 0 > 10)
        #expect(base.backtest.frauds > 0 && base.backtest.unlabelled > 0)
        #expect(try said(workshop, known) == base)
        for seed in 0..<3 as Range<UInt64> {
            var random = TestRandom(seed: seed)
            let moved = later.map { label in
                var label = label
                label.knownMilliseconds = Self.asOf + 1 + Int64(random.below(400)) * Self.hour
                if random.below(3) == 0 { label.isFraud.toggle() }
                return label
            }
            #expect(try said(workshop, known + moved) == base, "seed \(seed)")
        }
    }

    @Test func movingALabelBeyondTheMomentIsTakingItAway() throws {
        let (workshop, labels) = try world()
        let base = try said(workshop, labels)
        for seed in 0..<3 as Range<UInt64> {
            var random = TestRandom(seed: seed)
            var moved: [Label] = []
            var taken: [Label] = []
            for label in labels {
                guard label.knownMilliseconds <= Self.asOf, random.below(5) == 0 else {
                    moved.append(label)
                    taken.append(label)
                    continue
                }
                var late = label
                late.knownMilliseconds = Self.asOf + 1 + Int64(random.below(100)) * Self.hour
                moved.append(late)
            }
            let without = try said(workshop, taken)
            #expect(try said(workshop, moved) == without, "seed \(seed)")
            #expect(without.payload != base.payload)
            #expect(
                without.metrics["labelled_frauds"] ?? 0 < base.metrics["labelled_frauds"] ?? 0)
        }
    }

    /// What a model has learned by heart says nothing of how rare a score is.
    @Test func thresholdsOfDetectorsThatLearnFromLabelsAreOfUnseenRows() throws {
        let workshop = try Workshop()
        workshop.registry.register(ByHeart())
        try workshop.generate(users: 80, days: 30)
        let outcome = try workshop.run(Workshop.request(days: 30, detector: "by-heart"), jobID: "heart")
        // By its training scores no unseen row would be an alert.
        #expect(try #require(outcome.metrics["holdout_rows"]) > 1_000)
        #expect((0.005...0.011).contains(try #require(outcome.metrics["alert_rate"])), "\(outcome.metrics)")
        let header = try #require(try workshop.models.header(of: .global, version: 1))
        let scale = SeverityScale(try #require(header.severity))
        #expect((0.45...0.55).contains(scale.severity(of: header.threshold)))
        #expect(header.threshold > -1.5)
        // Nor does that seen and unseen rows differ say that the scores have shifted.
        #expect(try #require(outcome.metrics["score_shift"]) < 0.1)
        #expect(try #require(outcome.gate).allSatisfy(\.isPassed))
    }

    /// The holdout's days have three times the frauds of the others; of all days these are still fewer than the budget.
    @Test func thresholdsOfDetectorsThatLearnFromLabelsAreForTheFraudsOfAllDays() throws {
        let workshop = try Workshop()
        workshop.registry.register(AmountDetector(id: "amount-learner", uses: [.references]))
        let generator = TransactionGenerator(users: 80, seed: 1)
        var number = 0
        for index in 0..<30 {
            let day = Workshop.start.adding(days: index)
            var transactions = generator.day(day)
            for row in transactions.indices {
                number += 1
                let isFraud = number.isMultiple(of: index < 24 ? 200 : 60)
                transactions[row].fraud = isFraud ? .amountBurst : nil
                let amount = isFraud ? 20_000 + number % 1_000 : number % 100
                transactions[row].transaction.amount = Double(amount)
            }
            try workshop.put(transactions, day, name: "part-0")
        }
        let metrics = try workshop.run(Workshop.request(days: 30, detector: "amount-learner")).metrics
        let (rows, frauds) = (
            try #require(metrics["holdout_rows"]), try #require(metrics["holdout_anomalies"])
        )
        #expect(rows > 1_000 && frauds / rows > 0.015)
        // By the holdout's own share every third fraud would be no alert.
        let rate = try #require(metrics["alert_rate"])
        #expect(rate >= frauds / rows && rate < 0.03, "\(rate)")
    }

    /// Of 10 known rows 3 are frauds.
    @Test func holdoutRowsCountByTheShareOfFraudsAmongAll() {
        let holdout: [Int8] = [1, 0, 0, 1, 0, -1, 0, 0, 1, 0, 0]
        func sums(_ frauds: Int, _ genuine: Int) -> [Double] {
            let known = [Int8](repeating: 1, count: frauds) + [Int8](repeating: 0, count: genuine)
            let weights = FittedModel.weights(holdout, training: known + [-1, -1])
            return [1, 0, -1].map { label in
                holdout.indices.reduce(0) { holdout[$1] == label ? $0 + weights[$1] : $0 }
            }
        }
        let cases: [(frauds: Int, genuine: Int, wanted: Double)] = [
            // 8 of 40 are frauds: so 2 of 10.
            (5, 25, 2), (0, 0, 3), (15, 15, 4.5),
            // 3 of 40, and 33: but each counts for half of one at least, and for two at most.
            (0, 30, 1.5), (30, 0, 6),
        ]
        for (frauds, genuine, wanted) in cases {
            for (sum, wanted) in zip(sums(frauds, genuine), [wanted, 10 - wanted, 1]) {
                #expect(abs(sum - wanted) < 1e-12, "\(frauds), \(genuine)")
            }
        }
        for one in [[Int8](repeating: 0, count: 4), [1, 1], [-1, -1], []] {
            #expect(FittedModel.weights(one, training: [1, 0, 0]) == one.map { _ in 1 })
        }
    }

    @Test func figuresCountWhatWasKnown() throws {
        let (workshop, labels) = try world()
        let metrics = try said(workshop, labels).metrics
        var times: [String: Int64] = [:]
        for index in 3..<12 {
            for labelled in TransactionGenerator(users: 14, seed: 5).day(Workshop.start.adding(days: index)) {
                times[labelled.transaction.transactionID] = labelled.transaction.timestampMilliseconds
            }
        }
        let counted = labels.filter { times[$0.transactionID] != nil && $0.knownMilliseconds <= Self.asOf }
        #expect(metrics["labelled_frauds"] == Double(counted.count { $0.isFraud }))
        #expect(metrics["labelled_genuine"] == Double(counted.count { !$0.isFraud }))
    }
}

/// Its model is a digest of all that it was told: rows and labels.
private struct Witness: Detector {
    let info = DetectorInfo(
        id: "witness", version: "1.0.0", summary: "Remembers what it was told.", parameters: [],
        uses: [.references])

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        var digest: UInt64 = 14_695_981_039_346_656_037
        func add(_ bits: UInt64) { digest = (digest ^ bits) &* 1_099_511_628_211 }
        for row in 0..<rows.count {
            for value in rows[row] { add(UInt64(value.bitPattern)) }
            add(UInt64(UInt8(bitPattern: labels?[row] ?? -1)))
        }
        return WitnessModel(columns: rows.columns, digest: digest)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        WitnessModel(
            columns: artifact.bytes.loadUnaligned(as: Int.self),
            digest: artifact.bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
}

private final class WitnessModel: DetectorModel {
    let columns: Int
    private let digest: UInt64

    init(columns: Int, digest: UInt64) {
        self.columns = columns
        self.digest = digest
    }

    /// Minus the sum of what the row has: whatever it was told shows in the scores.
    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count {
            scores[row] = -rows[row].reduce(0.0) { $0 + ($1.isFinite ? Double($1) : 0) }
        }
    }

    func encode() -> [UInt8] {
        withUnsafeBytes(of: columns) { Array($0) } + withUnsafeBytes(of: digest) { Array($0) }
    }
}

/// Knows every row that it has seen, and scores it lower than any other.
private struct ByHeart: Detector {
    let info = DetectorInfo(
        id: "by-heart", version: "1.0.0", summary: "Learns by heart.", parameters: [], uses: [.references])

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        ByHeartModel(columns: rows.columns, known: Set((0..<rows.count).map { ByHeartModel.hash(rows[$0]) }))
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        ByHeartModel(columns: artifact.bytes.loadUnaligned(as: Int.self), known: [])
    }
}

private final class ByHeartModel: DetectorModel {
    let columns: Int
    private let known: Set<UInt64>

    init(columns: Int, known: Set<UInt64>) {
        self.columns = columns
        self.known = known
    }

    static func hash(_ row: UnsafeBufferPointer<Float>) -> UInt64 {
        row.reduce(7) { ($0 ^ UInt64($1.bitPattern)) &* 1_099_511_628_211 }
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count {
            let hash = Self.hash(rows[row])
            var random = SeededGenerator(seed: hash)
            scores[row] = (known.contains(hash) ? -2 : -1) * random.unit() - (known.contains(hash) ? 2 : 0)
        }
    }

    func encode() -> [UInt8] { withUnsafeBytes(of: columns) { Array($0) } }
}
