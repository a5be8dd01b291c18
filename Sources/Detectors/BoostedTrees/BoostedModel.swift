import CForestKernels
import DetectorAPI
import Synchronization

/// Fitted trees, scored from the artifact's bytes.
final class BoostedModel: Explaining {
    private static let block = Int(BOOSTED_BLOCK)

    private let artifact: ArtifactBytes
    private let payload: BoostedPayload
    private let unit: VectorUnit
    /// The margin of a row about which nothing is known: the training rows' mean.
    private let expectedMargin: Double
    /// For each node the mean of the training rows' leaves below it, in units of leaves; computed when first asked for.
    private let expectations = Mutex<[Double]?>(nil)

    /// - Throws: `DetectorError.invalidArtifact`.
    init(decoding artifact: ArtifactBytes, unit: VectorUnit = .inUse) throws(DetectorError) {
        let payload = try BoostedPayload(checking: artifact.bytes)
        self.artifact = artifact
        self.payload = payload
        self.unit = unit
        let parts = BoostedParts(payload, artifact.bytes)
        var sum = 0.0
        for tree in 0..<payload.trees { sum += parts.expectation(tree) }
        expectedMargin = payload.base + sum * payload.leafUnit
    }

    var columns: Int { payload.columns }

    var expectedScore: Double { -payload.calibration.probability(expectedMargin) }

    func encode() -> [UInt8] { [UInt8](artifact.bytes) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try margins(rows, into: scores)
        for row in 0..<rows.count { scores[row] = -payload.calibration.probability(scores[row]) }
    }

    /// What the trees say before it is made a probability: the logarithm of the odds of a fraud.
    func margins(_ rows: FeatureRows, into margins: UnsafeMutableBufferPointer<Double>) throws {
        guard rows.columns == columns else {
            throw DetectorError.invalidInput("\(rows.columns) columns, but the model has \(columns)")
        }
        guard margins.count >= rows.count else {
            throw DetectorError.invalidInput("\(margins.count) places for \(rows.count) scores")
        }
        withExtendedLifetime(artifact) {
            let parts = BoostedParts(payload, artifact.bytes)
            if rows.count == 1 {
                margins[0] = margin(parts.walk(rows, row: 0) { _, _, _, _ in })
                return
            }
            let block = Self.block
            let keyRows = payload.keyRows + Int(BOOSTED_LEAVES)
            withUnsafeTemporaryAllocation(byteCount: block * (keyRows * 4 + 8), alignment: 64) { scratch in
                let base = scratch.baseAddress.unsafelyUnwrapped
                let keys = base.bindMemory(to: Int32.self, capacity: block * keyRows)
                let sums = (base + block * keyRows * 4).bindMemory(to: Int64.self, capacity: block)
                keys.initialize(repeating: 0, count: block * keyRows)
                var trees = parts.boosted
                for first in stride(from: 0, to: rows.count, by: block) {
                    let range = first..<min(first + block, rows.count)
                    sums.initialize(repeating: 0, count: block)
                    parts.writeKeys(rows, range, to: keys, stride: block)
                    boosted_add(&trees, keys, sums, range.count, unit)
                    for row in range { margins[row] = margin(sums[row - first]) }
                }
            }
        }
    }

    @inline(__always)
    private func margin(_ sum: Int64) -> Double { payload.base + Double(sum) * payload.leafUnit }

    /// Decomposes the path (A. Saabas, "Interpreting random forests", 2014): a step from a node to its child changes the mean
    /// of the training rows' leaves below, and the column that was asked is credited with the change. Over all trees the
    /// changes sum to the row's margin minus the expected one; times the slope of the chord between the two they sum to the
    /// difference of the scores.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try score(rows, into: scores)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        contributions.update(repeating: 0)
        withExtendedLifetime(artifact) {
            let parts = BoostedParts(payload, artifact.bytes)
            let expectations = expectations.withLock { known in
                let expectations = known ?? parts.expectations()
                known = expectations
                return expectations
            }
            for row in 0..<rows.count {
                let own = UnsafeMutableBufferPointer(
                    rebasing: contributions[row * columns..<(row + 1) * columns])
                _ = parts.walk(rows, row: row) { node, column, child, leaf in
                    let after = child < 0 ? Double(parts.leaves[leaf]) : expectations[child]
                    own[column] += after - expectations[node]
                }
                share(scores[row] - expectedScore, among: own)
            }
        }
    }

    /// Scales the contributions to a sum. What rounding leaves goes to the largest.
    private func share(_ target: Double, among contributions: UnsafeMutableBufferPointer<Double>) {
        var sum = 0.0
        var size = 0.0
        var largest = 0
        for column in contributions.indices {
            sum += contributions[column]
            size += abs(contributions[column])
            if abs(contributions[column]) > abs(contributions[largest]) { largest = column }
        }
        // Contributions that cancel leave no chord: then the slope of the curve where it is expected to be.
        let probability = -expectedScore
        let tangent = -payload.calibration.slope * probability * (1 - probability) * payload.leafUnit
        let slope = abs(sum) > 1e-6 * size ? target / sum : tangent
        sum = 0
        for column in contributions.indices {
            contributions[column] *= slope
            sum += contributions[column]
        }
        contributions[largest] += target - sum
    }
}

extension BoostedPayload {
    /// What a leaf counts in.
    var leafUnit: Double { Double(sign: .plus, exponent: -fractionBits, significand: 1) }
}
