import Exact

/// What is known of one thing at a table's moment: numbers of transactions that fade with their age.
///
/// `frauds` by the moment their label became known, and `counts` of all transactions a fixed time after they happened,
/// each for the half-lives of 2, 7 and 30 days; mean and deviation of logarithmic amounts, of all transactions and of the
/// frauds, with a half-life of 30 days; and since when frauds have been reported.
public struct ReferenceEntry: Sendable, Equatable, BitwiseCopyable {
    /// `frauds` 0...2, `counts` 3...5, mean 6 and deviation 7 of the logarithmic amounts; a deviation below 0: unknown.
    var values: SIMD8<Float>
    /// Mean logarithmic amount of the frauds; means nothing without any.
    var fraudAmount: Float
    /// Of a merchant: hours since its frauds began to be reported; below 0: none were, or nobody has counted.
    var fraudHours: Float

    /// A thing that no table has met.
    public static let unknown = ReferenceEntry(
        values: [0, 0, 0, 0, 0, 0, 0, -1], fraudAmount: 0, fraudHours: -1)

    init(values: SIMD8<Float>, fraudAmount: Float, fraudHours: Float) {
        self.values = values
        self.fraudAmount = fraudAmount
        self.fraudHours = fraudHours
    }

    public init(
        frauds: (Double, Double, Double), counts: (Double, Double, Double), amountMean: Double,
        amountDeviation: Double, fraudAmount: Double, fraudHours: Int64? = nil
    ) {
        self.fraudAmount = Float(fraudAmount)
        self.fraudHours = fraudHours.map { Float($0) } ?? -1
        values = [
            Float(frauds.0), Float(frauds.1), Float(frauds.2), Float(counts.0), Float(counts.1),
            Float(counts.2), Float(amountMean), Float(amountDeviation),
        ]
    }

    @inline(__always)
    func fraud(_ halfLife: Int) -> Float { values[halfLife] }

    /// (F + p) / (N + 1): the share of frauds, as far as there are any to speak of, else the share among all.
    @inline(__always)
    func risk(_ halfLife: Int, prior: Float) -> Float {
        (values[halfLife] + prior) / (values[3 + halfLife] + 1)
    }

    @inline(__always)
    func count(_ halfLife: Int) -> Float { values[3 + halfLife] }

    /// Deviations of a logarithmic amount from the usual ones; NaN without any.
    @inline(__always)
    func amountScore(_ logAmount: Float) -> Float {
        let deviation = values[7]
        if deviation < 0 { return .nan }
        // A merchant of one price would make every other amount infinitely far away.
        return (logAmount - values[6]) / max(deviation, 0.1)
    }
}

/// What a source of references, a table or the state that one is made of, knows of a transaction's things. nil: the
/// transaction has no such thing.
public struct ReferenceEntries: Sendable {
    public var merchant: ReferenceEntry?
    public var device: ReferenceEntry?
    public var country: ReferenceEntry?
    public var category: ReferenceEntry?
    public var user: ReferenceEntry?
    /// The share of frauds among all transactions, half-life 30 days; NaN: no label is known.
    public var prior: Float

    @inline(__always)
    public init(_ keys: ReferenceKeys, prior: Float, entry: (UInt64) -> ReferenceEntry) {
        merchant = keys.merchant == 0 ? nil : entry(keys.merchant)
        device = keys.device == 0 ? nil : entry(keys.device)
        country = keys.country == 0 ? nil : entry(keys.country)
        category = keys.category == 0 ? nil : entry(keys.category)
        user = keys.user == 0 ? nil : entry(keys.user)
        self.prior = prior
    }

    /// Below this a fraud has faded.
    private static let someFraud: Float = 0.01

    /// Writes the reference features, `UserWindow.referencePlaces` of a row: the one code for tables in serving and states
    /// in training.
    ///
    /// - Parameter features: A row, whose `log_amount` is read.
    @inline(__always)
    public func writeFeatures(into features: UnsafeMutableBufferPointer<Float>) {
        precondition(features.count >= UserWindow.featureCount, "too few places for the features")
        let first = UserWindow.referenceRange.lowerBound
        UserWindow.clearReferences(in: features)
        if let merchant {
            for life in 0..<3 {
                features[first + life] = merchant.risk(life, prior: prior)
                features[first + 3 + life] = prior.isNaN ? .nan : merchant.fraud(life)
                features[first + 6 + life] = merchant.count(life)
            }
            features[first + 9] = merchant.amountScore(features[UserWindow.logAmountPlace])
            features[first + 10] = merchant.fraud(2) < Self.someFraud ? .nan : merchant.fraudAmount
            features[UserWindow.fraudDaysPlace] = merchant.fraudHours < 0 ? .nan : merchant.fraudHours / 24
        }
        write(device, into: features, at: first + 11)
        write(country, into: features, at: first + 15)
        write(category, into: features, at: first + 19)
        if let user, !prior.isNaN {
            for life in 0..<3 { features[first + 23 + life] = user.fraud(life) }
        }
    }

    @inline(__always)
    private func write(
        _ entry: ReferenceEntry?, into features: UnsafeMutableBufferPointer<Float>, at place: Int
    ) {
        guard let entry else { return }
        for life in 0..<3 { features[place + life] = entry.risk(life, prior: prior) }
        features[place + 3] = entry.count(2)
    }
}

/// The logarithm that features take of amounts.
public enum LogAmount {
    /// sign(x) * ln(1 + |x|) of an amount as windows see it.
    public static func of(_ amount: Double) -> Double {
        let bounded = amount.isNaN ? 0 : min(max(amount, -1e100), 1e100)
        return DeterministicMath.signedLog1p(bounded + 0)
    }
}
