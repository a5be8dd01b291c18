import Features

/// What references are made from: for each thing, sums over all transactions and labels so far, from which a table of
/// any later moment can be made. A value.
///
/// Sums fade by themselves: an event of hour s adds 2^((s - landmark) / half-life), and reading at a boundary b
/// multiplies by 2^-((b - landmark) / half-life). So nothing is decayed step by step, and the same events in the same
/// order give the same bits however they are cut into refreshes (Cormode et al., "Forward decay", ICDE 2009).
public struct ReferenceState: Sendable {
    /// Sums of one thing.
    struct Sums: BitwiseCopyable, Sendable {
        /// Of the three half-lives, and the sum of logarithmic amounts, half-life 30 days.
        var frauds = SIMD4<Double>()
        /// Of the three half-lives.
        var counts = SIMD4<Double>()
        /// Weight, sum and sum of squares of logarithmic amounts, half-life 30 days.
        var amounts = SIMD4<Double>()
    }

    /// A fraud that is counted: taken back when a later label says that it was none.
    struct Fraud: BitwiseCopyable, Sendable {
        var step: Int64
        /// The transaction: a later label may make it a fraud again.
        var row: ReferenceRow
    }

    /// Hour of weight 1, a multiple of `landmarkSteps`.
    private(set) var landmark: Int64
    private(set) var places: [UInt64: Int32]
    private(set) var sums: [Sums]
    private(set) var total: Sums
    private(set) var frauds: [UInt64: Fraud]
    /// Of each merchant that `frauds` has, the hours in which they became known.
    private(set) var runs: [UInt64: FraudRun]

    /// 210 days, a multiple of all half-lives: moving the landmark by it scales by powers of two, which is exact.
    static let landmarkSteps: Int64 = 5_040
    /// What has faded below this is as if it had never been.
    static let leastWeight = 0.01
    /// Frauds older than that can no longer be taken back.
    static let fraudMemorySteps: Int64 = 400 * 24

    public init() {
        landmark = 0
        places = [:]
        sums = []
        total = Sums()
        frauds = [:]
        runs = [:]
    }

    init(landmark: Int64, keys: [UInt64], sums: [Sums], total: Sums, frauds: [UInt64: Fraud]) {
        self.landmark = landmark
        self.sums = sums
        self.total = total
        self.frauds = frauds
        runs = Self.runs(of: frauds)
        places = Dictionary(minimumCapacity: keys.count)
        for (place, key) in keys.enumerated() { places[key] = Int32(place) }
    }

    // MARK: - Events

    mutating func addAmount(_ row: ReferenceRow) {
        let step = ReferenceTime.step(of: row.milliseconds)
        moveLandmark(to: step)
        let weight = HalfLife.days30.growth(step - landmark)
        let amount = LogAmount.of(row.amount)
        let added = SIMD4(weight, weight * amount, weight * amount * amount, 0)
        change(row.keys.merchant) { $0.amounts += added }
    }

    mutating func addCount(_ keys: ReferenceKeys, step: Int64) {
        moveLandmark(to: step)
        let weights = weights(step)
        for key in [keys.merchant, keys.device, keys.country, keys.category] {
            change(key) { $0.counts += weights }
        }
        total.counts += weights
    }

    /// Counts a fraud, once however often it is said.
    mutating func addFraud(_ row: ReferenceRow, step: Int64) {
        guard frauds[row.transaction] == nil else { return }
        moveLandmark(to: step)
        let fraud = Fraud(step: step, row: row)
        frauds[row.transaction] = fraud
        add(fraud, sign: 1)
        if row.keys.merchant != 0 { runs[row.keys.merchant, default: FraudRun()].add(step) }
    }

    /// Takes a fraud back.
    mutating func removeFraud(_ transaction: UInt64) {
        guard let fraud = frauds.removeValue(forKey: transaction) else { return }
        add(fraud, sign: -1)
        let merchant = fraud.row.keys.merchant
        runs[merchant]?.remove(fraud.step)
        if runs[merchant]?.start == nil { runs[merchant] = nil }
    }

    private static func runs(of frauds: [UInt64: Fraud]) -> [UInt64: FraudRun] {
        let ofMerchants = frauds.values.filter { $0.row.keys.merchant != 0 }
        let steps = Dictionary(grouping: ofMerchants, by: \.row.keys.merchant)
        return steps.mapValues { FraudRun($0.map(\.step)) }
    }

    private mutating func add(_ fraud: Fraud, sign: Double) {
        var weights = weights(fraud.step) * sign
        weights[3] = weights[2] * LogAmount.of(fraud.row.amount)
        let keys = fraud.row.keys
        for key in [keys.merchant, keys.device, keys.country, keys.category, keys.user] {
            change(key) { $0.frauds += weights }
        }
        total.frauds += weights
    }

    private func weights(_ step: Int64) -> SIMD4<Double> {
        SIMD4(
            HalfLife.days2.growth(step - landmark), HalfLife.days7.growth(step - landmark),
            HalfLife.days30.growth(step - landmark), 0)
    }

    private mutating func change(_ key: UInt64, _ body: (inout Sums) -> Void) {
        if key == 0 { return }
        if let place = places[key] { return body(&sums[Int(place)]) }
        var fresh = Sums()
        body(&fresh)
        places[key] = Int32(sums.count)
        sums.append(fresh)
    }

    private mutating func moveLandmark(to step: Int64) {
        let due = (step >= 0 ? step : step - Self.landmarkSteps + 1) / Self.landmarkSteps * Self.landmarkSteps
        guard due > landmark else { return }
        var scale = weights(landmark - (due - landmark))
        let amountScale = scale[2]
        scale[3] = amountScale
        func scaled(_ sums: Sums) -> Sums {
            Sums(
                frauds: sums.frauds * scale, counts: sums.counts * scale, amounts: sums.amounts * amountScale)
        }
        for place in sums.indices { sums[place] = scaled(sums[place]) }
        total = scaled(total)
        landmark = due
    }

    /// Lets go of what a reading at a boundary no longer sees, so that a state does not grow for ever.
    mutating func forget(at boundary: Int64) {
        let view = ReferenceView(self, at: boundary)
        let kept = places.filter { !view.isFaded(sums[Int($0.value)]) }.sorted { $0.value < $1.value }
        if kept.count < places.count {
            let old = sums
            sums = kept.map { old[Int($0.value)] }
            places = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1.key, Int32($0)) })
        }
        let remembered = frauds.filter { $0.value.step > boundary - Self.fraudMemorySteps }
        guard remembered.count < frauds.count else { return }
        frauds = remembered
        runs = Self.runs(of: frauds)
    }
}

/// A state as it reads at one boundary between hours.
public struct ReferenceView: Sendable {
    private var factors: SIMD4<Double>
    private let boundary: Int64
    public let prior: Float

    public init(_ state: borrowing ReferenceState, at boundary: Int64) {
        self.boundary = boundary
        let age = state.landmark - boundary
        factors = SIMD4(
            HalfLife.days2.growth(age), HalfLife.days7.growth(age), HalfLife.days30.growth(age), 0)
        factors[3] = factors[2]
        let frauds = state.total.frauds[2] * factors[2]
        let counts = state.total.counts[2] * factors[2]
        prior = state.frauds.isEmpty || counts < 1 ? .nan : Float(min(max(frauds / counts, 0), 1))
    }

    func isFaded(_ sums: ReferenceState.Sums) -> Bool {
        let least = ReferenceState.leastWeight
        return sums.frauds[2] * factors[2] < least && sums.counts[2] * factors[2] < least
            && sums.amounts[0] * factors[2] < least
    }

    /// What is known of a thing; the same bits as a table of this boundary has.
    ///
    /// - Parameter run: Of a merchant's frauds.
    func entry(_ sums: ReferenceState.Sums, _ run: FraudRun?) -> ReferenceEntry? {
        if isFaded(sums) { return nil }
        let frauds = sums.frauds * factors
        let counts = sums.counts * factors
        let weight = sums.amounts[0]
        var mean = 0.0
        var deviation = -1.0
        if weight * factors[2] >= ReferenceState.leastWeight {
            mean = sums.amounts[1] / weight
            deviation = max(0, sums.amounts[2] / weight - mean * mean).squareRoot()
        }
        // What was taken back may leave a rounding below 0.
        return ReferenceEntry(
            frauds: (max(0, frauds[0]), max(0, frauds[1]), max(0, frauds[2])),
            counts: (counts[0], counts[1], counts[2]), amountMean: mean, amountDeviation: deviation,
            fraudAmount: frauds[2] >= ReferenceState.leastWeight ? frauds[3] / frauds[2] : 0,
            fraudHours: run?.age(at: boundary))
    }

    /// Writes a transaction's reference features into a row of features, as a table of this boundary would.
    ///
    /// - Parameter features: `UserWindow.featureCount` of them.
    public func write(_ row: ReferenceRow, in state: borrowing ReferenceState, into features: inout [Float]) {
        let entries = entries(row.keys, in: state)
        features.withUnsafeMutableBufferPointer { features in
            features[UserWindow.logAmountPlace] = Float(LogAmount.of(row.amount))
            entries.writeFeatures(into: features)
        }
    }

    func entries(_ keys: ReferenceKeys, in state: borrowing ReferenceState) -> ReferenceEntries {
        ReferenceEntries(keys, prior: prior) { key in
            guard let place = state.places[key] else { return .unknown }
            return entry(state.sums[Int(place)], state.runs[key]) ?? .unknown
        }
    }
}
