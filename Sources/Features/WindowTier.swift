/// One of the four windows: `length` buckets of `widthMilliseconds` each.
///
/// The bucket of time t is floor(t / width); the window at t is the `length` buckets that end with t's own. So a
/// window holds every event of the last (length - 1) widths, and none that is a full window old.
///
/// Tiers are kept coarse first: the tiers that change with each event then stand at the storage's end, and little moves.
enum WindowTier: Int, CaseIterable {
    case month, week, day, hour

    static let count = 4

    @inline(__always)
    var widthMilliseconds: Int64 {
        switch self {
        case .month: 86_400_000
        case .week: 21_600_000
        case .day: 3_600_000
        case .hour: 60_000
        }
    }

    @inline(__always)
    var length: Int32 {
        switch self {
        case .month: 30
        case .week: 28
        case .day: 24
        case .hour: 60
        }
    }

    static let totalLength = 142

    /// The bucket of a time within +-2^46 ms.
    @inline(__always)
    func bucket(of milliseconds: Int64) -> Int32 {
        Int32(truncatingIfNeeded: flooredQuotient(milliseconds, widthMilliseconds))
    }
}

extension UserWindow {
    /// The longest window: an event that is older than this is in no reach of a newer one.
    public static let reachMilliseconds: Int64 = 30 * 86_400_000

    /// The start of the earliest day with an event in reach, milliseconds since 1970 UTC; nil when there is none.
    public var earliestDayMilliseconds: Int64? {
        guard tierCounts[WindowTier.month.rawValue] > 0, let first = buckets.first else { return nil }
        return Int64(first.index) * WindowTier.month.widthMilliseconds
    }
}

/// floor(a / b) for a positive b.
@inline(__always)
func flooredQuotient(_ a: Int64, _ b: Int64) -> Int64 {
    let quotient = a / b
    return a % b < 0 ? quotient - 1 : quotient
}

/// What happened in one bucket.
struct WindowBucket: Sendable, Equatable, BitwiseCopyable {
    var index: Int32
    /// At least 1; stops at the largest number.
    var count: UInt32
    var sum: Double
    var squares: Double

    @inline(__always)
    init(index: Int32, count: UInt32, sum: Double, squares: Double) {
        self.index = index
        self.count = count
        self.sum = sum
        self.squares = squares
    }

    @inline(__always)
    init(index: Int32, amount: Double) {
        self.init(index: index, count: 1, sum: amount, squares: amount * amount)
    }

    @inline(__always)
    mutating func add(count: UInt32, sum: Double, squares: Double) {
        let (total, overflow) = self.count.addingReportingOverflow(count)
        self.count = overflow ? .max : total
        // Bounds that sane amounts never come near keep windows from outside within what decoding accepts.
        self.sum = min(max(self.sum + sum, -Self.greatestSum), Self.greatestSum)
        self.squares = min(self.squares + squares, Self.greatestSquares)
    }

    @inline(__always) static var greatestSum: Double { 1e110 }
    @inline(__always) static var greatestSquares: Double { 1e221 }
}
