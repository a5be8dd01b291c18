import Exact

/// The time of references: whole hours since 1970 UTC, and three half-lives.
///
/// A table's moment is a boundary between two hours: it knows what happened, or became known, in the hours before.
public enum ReferenceTime {
    public static let stepMilliseconds: Int64 = 3_600_000
    public static let stepsOfDay: Int64 = 24

    /// The hour of a time; the boundary after it is one more.
    @inline(__always)
    public static func step(of milliseconds: Int64) -> Int64 {
        flooredQuotient(min(max(milliseconds, -(1 << 46)), 1 << 46), stepMilliseconds)
    }

    public static func milliseconds(of step: Int64) -> Int64 { step * stepMilliseconds }
}

/// How fast what is known of the past fades.
public enum HalfLife: Int, CaseIterable, Sendable {
    case days2, days7, days30

    /// Hours.
    @inline(__always)
    public var steps: Int64 {
        switch self {
        case .days2: 48
        case .days7: 168
        case .days30: 720
        }
    }

    /// 2^(steps / half-life), the same bits on every machine: an exact power of two times a tabled one.
    public func growth(_ steps: Int64) -> Double {
        let whole = flooredQuotient(steps, self.steps)
        let rest = Int(steps - whole * self.steps)
        return Double(sign: .plus, exponent: Int(min(max(whole, -2000), 2000)), significand: table[rest])
    }

    private var table: [Double] {
        switch self {
        case .days2: Self.table2
        case .days7: Self.table7
        case .days30: Self.table30
        }
    }

    private static let table2 = powers(48)
    private static let table7 = powers(168)
    private static let table30 = powers(720)

    /// 2^(k / count) for k below count.
    private static func powers(_ count: Int) -> [Double] {
        (0..<count).map { DeterministicMath.exp(Double($0) / Double(count) * DeterministicMath.logOfTwo) }
    }
}
