import Exact

/// What sentences about a transaction are made of.
struct KnownOfRow {
    let numeric: UnsafeBufferPointer<Float>
    let memory: WindowMemory
    /// As the transaction has it; features have 24 bits of it.
    let amount: Double
    let own: OwnUsual

    init(numeric: UnsafeBufferPointer<Float>, memory: WindowMemory, amount: Double) {
        self.numeric = numeric
        self.memory = memory
        self.amount = amount
        own = OwnUsual(numeric, seconds: memory.seconds)
    }
}

/// What a reason is about, whichever and however many columns say it, and whether it is on its unusual side.
struct ReasonSubject {
    /// The name in the reason.
    var name: String
    /// Of the first feature, as are the following.
    private let feature: String
    private var value: Double
    /// Over the training rows; NaN: not known.
    private var usual: Double
    /// Of the hour's and the weekday's other column.
    private var other: (value: Double, usual: Double)?

    /// Features that say the same of a transaction, in different units.
    private static let shared = [
        "log_amount": "amount", "amount_zscore_30d": "amount", "amount_ratio_30d": "amount",
        "hour_sin": "hour", "hour_cos": "hour", "weekday_sin": "weekday", "weekday_cos": "weekday",
    ]

    /// - Parameter place: Of the feature in `numeric`.
    init(feature: String, at place: Int, usual: Double, _ numeric: UnsafeBufferPointer<Float>) {
        // A comparison with the user's own 30 days is said as what it compares, beside what is usual for the user.
        if let compared = FeatureSchema.compared[feature], let whole = FeatureSchema.index(of: compared) {
            self.feature = compared
            value = Double(numeric[whole])
            self.usual = .nan
        } else {
            self.feature = feature
            value = Double(numeric[place])
            self.usual = usual
        }
        name = Self.shared[self.feature] ?? self.feature
    }

    mutating func merge(_ same: ReasonSubject) {
        if name == "hour" || name == "weekday" { other = (same.value, same.usual) }
    }

    /// - Returns: nil when the value is on no unusual side: slower than usual, say.
    func reason(_ contribution: Double, _ known: KnownOfRow) -> FeatureReason? {
        guard let (shown, usual, sentence) = said(known) else { return nil }
        return FeatureReason(
            name: name, value: shown.isNaN ? .missing : .number(shown),
            usual: usual.isNaN ? .missing : .number(usual), contribution: contribution, sentence: sentence)
    }

    private typealias Said = (value: Double, usual: Double, sentence: String)

    private func said(_ known: KnownOfRow) -> Said? {
        switch name {
        case "amount": return amount(known)
        case "hour", "weekday": return moment()
        case "new_merchant": return novelty(.merchants, "merchants", "at this merchant", known)
        case "new_country": return novelty(.countries, "countries", "in this country", known)
        case "new_device": return novelty(.devices, "devices", "with this device", known)
        case "speed_kmh": return speed()
        case "seconds_since_last": return pause(known)
        case "merchant_amount_zscore":
            // An amount like those that others pay there is no reason.
            guard value.magnitude > 1 else { return nil }
            let side = value > 0 ? "above" : "below"
            let amount = "\(money(known.amount)) is \(number(value.magnitude)) deviations \(side)"
            return (value, .nan, "\(amount) what is usual at this merchant")
        case "merchant_fraud_amount":
            guard !value.isNaN else { return nil }
            let amount = DeterministicMath.exp(value) - 1
            return (value, .nan, "frauds reported at this merchant were of about \(money(amount))")
        case "merchant_fraud_days":
            guard !value.isNaN else { return nil }
            let sentence =
                "frauds have been reported at this merchant for \(FigureText.duration(86_400 * value))"
            return (value, .nan, sentence)
        default: break
        }
        if let (kind, window) = OwnUsual.window(of: feature) { return history(kind, window, known.own) }
        guard !value.isNaN else { return nil }
        let rest = usual.isNaN ? "" : "; usual is \(number(usual))"
        if let words = ReferenceWords(feature) {
            // No more frauds than usual are no reason.
            guard words.kind == .count || value > (usual.isNaN ? 0 : usual) else { return nil }
            let isShare = words.kind == .risk
            let usually = usual.isNaN ? "" : "; usual is \(isShare ? share(usual) : number(usual))"
            let shown = isShare ? share(value) : number(value)
            return (value, usual, "\(words.what) lately: \(shown) (half-life \(words.halfLife))\(usually)")
        }
        return (value, usual, "\(name) is \(number(value))\(rest)")
    }

    /// Of the amount itself, whichever comparison drove the score.
    private func amount(_ known: KnownOfRow) -> Said? {
        let value = Double(known.numeric[0])
        guard !value.isNaN else { return nil }
        let (amount, own) = (known.amount, known.own.amount)
        let all = feature == "amount" ? usual : .nan
        let usual = own.isNaN ? all : own
        guard usual > 0 else { return (value, usual, "\(money(amount)) is unusual") }
        let whose = own.isNaN ? "the usual \(money(usual))" : "this user's usual \(money(usual))"
        guard amount > 1.5 * usual || amount < usual / 1.5 else { return nil }
        if amount > usual {
            return (value, usual, "\(money(amount)) is \(times(amount / usual)) times \(whose)")
        }
        return (value, usual, "\(money(amount)) is far below \(whose)")
    }

    /// - Parameter what: Those that the set remembers, the latest of 30 d.
    private func novelty(_ set: RecentSet, _ what: String, _ place: String, _ known: KnownOfRow) -> Said? {
        guard value == 1 else { return nil }
        let isFull = known.memory.isFull(set)
        return (
            1, 0,
            isFull
                ? "not among this user's \(set.capacity) latest \(what)" : "first time \(place) in 30 days"
        )
    }

    private func pause(_ known: KnownOfRow) -> Said? {
        guard !value.isNaN, !known.memory.isOvertaken else { return nil }
        let own = known.own
        let usual = own.pause.isNaN ? self.usual : own.pause
        guard usual > 0 else { return (value, usual, "\(duration(value)) after the payment before") }
        guard value < usual / 2 || value > 3 * usual else { return nil }
        let whose = own.pause.isNaN ? "usual are" : "this user's usual are"
        return (value, usual, "\(duration(value)) after the payment before; \(whose) \(duration(usual))")
    }

    private func speed() -> Said? {
        guard value > (usual.isNaN ? 0 : usual) else { return nil }
        let rest = usual.isNaN ? "" : "; usual are \(whole(usual))"
        return (value, usual, "\(whole(value)) km/h from the place of the payment before\(rest)")
    }

    private func history(_ kind: OwnUsual.Kind, _ window: OwnUsual.Window, _ own: OwnUsual) -> Said? {
        guard !value.isNaN else { return nil }
        let mine = own.usual(kind, window)
        let usual = mine.isNaN ? self.usual : mine
        let whose = mine.isNaN ? "usual" : "this user's usual"
        switch kind {
        case .count:
            guard usual.isNaN || value > usual else { return nil }
            return (
                value, usual,
                "\(whole(value)) payments in \(window.words) before; \(whose) is \(number(usual))"
            )
        case .sum:
            guard usual.isNaN || value > usual else { return nil }
            return (
                value, usual, "\(money(value)) spent in \(window.words) before; \(whose) is \(money(usual))"
            )
        case .mean:
            guard usual.isNaN || value > 1.5 * usual || value < usual / 1.5 else { return nil }
            return (
                value, usual,
                "payments of \(money(value)) on the mean in \(window.words) before; \(whose) are \(money(usual))"
            )
        }
    }

    /// The hour or weekday of two columns, sine and cosine.
    private func moment() -> Said? {
        guard let other, !value.isNaN, !other.value.isNaN else { return nil }
        let (turn, names) = name == "hour" ? (24, []) : (7, Self.weekdays)
        func place(_ sine: Double, _ cosine: Double) -> Double? {
            guard sine * sine + cosine * cosine > 1e-6 else { return nil }
            return Double(CircularPlace.nearest(sine: sine, cosine: cosine, of: turn))
        }
        guard let shown = place(value, other.value) else { return nil }
        let usual = place(self.usual, other.usual) ?? .nan
        let words =
            names.isEmpty ? "at \(shown < 10 ? "0" : "")\(whole(shown)):00 UTC" : "on a \(names[Int(shown)])"
        return (shown, usual, "\(words), when few pay")
    }

    private static let weekdays = [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ]

    // MARK: Words

    private func money(_ x: Double) -> String { FigureText.money(x) }
    private func share(_ x: Double) -> String { "\(decimal(100 * x, places: x < 0.1 ? 1 : 0)) %" }
    private func whole(_ x: Double) -> String { decimal(x, places: 0) }
    private func number(_ x: Double) -> String {
        x.isNaN ? "not known" : decimal(x, places: x.magnitude < 10 && x != x.rounded() ? 2 : 0)
    }
    private func times(_ x: Double) -> String { decimal(x, places: x < 10 ? 1 : 0) }

    private func duration(_ seconds: Double) -> String { FigureText.duration(seconds) }
    private func decimal(_ x: Double, places: Int) -> String { FigureText.decimal(x, places: places) }
}

/// What a feature of a reference table counts, for people.
private struct ReferenceWords {
    enum Kind: Substring {
        case risk, frauds, count
    }

    let kind: Kind
    /// `frauds at this merchant`
    let what: String
    let halfLife: String

    private static let places: [Substring: String] = [
        "merchant": "at this merchant", "device": "with this device", "country": "in this country",
        "category": "in this category", "user": "of this user",
    ]

    /// - Parameter feature: `merchant_frauds_7d`; nil for any other kind of name.
    init?(_ feature: String) {
        let parts = feature.split(separator: "_")
        guard parts.count == 3, let place = Self.places[parts[0]], let kind = Kind(rawValue: parts[1]),
            parts[2].last == "d"
        else { return nil }
        self.kind = kind
        what =
            switch kind {
            case .risk: "frauds among the payments \(place)"
            case .frauds: "frauds \(place)"
            case .count: "payments \(place)"
            }
        halfLife = "\(parts[2].dropLast()) d"
    }
}

/// The whole hour or weekday that a sine and cosine point to.
enum CircularPlace {
    static func nearest(sine: Double, cosine: Double, of turn: Int) -> Int {
        var best = 0
        var greatest = -Double.infinity
        for place in 0..<turn {
            let degrees = 360 * Double(place) / Double(turn)
            let projection =
                sine * DeterministicMath.sineDegrees(degrees) + cosine
                * DeterministicMath.cosineDegrees(degrees)
            if projection > greatest { (best, greatest) = (place, projection) }
        }
        return best
    }
}
