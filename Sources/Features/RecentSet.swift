/// A member of a set of merchants, countries or devices seen lately.
///
/// 32 bits of the hash are enough: a new merchant among 32 known ones passes for a known one once in 1.3e8 times.
struct RecentMember: Sendable, Equatable, BitwiseCopyable {
    var fingerprint: UInt32
    /// floor(last seen / 1 min).
    var minute: Int32

    @inline(__always)
    init(fingerprint: UInt32, minute: Int32) {
        self.fingerprint = fingerprint
        self.minute = minute
    }

    @inline(__always)
    static func fingerprint(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) }

    /// Later first; of those seen in the same minute the larger fingerprint. The last is the first to go.
    @inline(__always)
    static func precedes(_ a: RecentMember, _ b: RecentMember) -> Bool {
        a.minute != b.minute ? a.minute > b.minute : a.fingerprint > b.fingerprint
    }

    /// The day of `minute`, counted like the buckets of the 30 d tier.
    @inline(__always)
    var day: Int32 { Int32(truncatingIfNeeded: flooredQuotient(Int64(minute), 1440)) }
}

/// The three sets of a window, in the order in which they are stored: the one that changes most comes last.
enum RecentSet: Int, CaseIterable {
    case countries, devices, merchants

    static let count = 3

    @inline(__always)
    var capacity: Int {
        switch self {
        case .countries: 8
        case .devices: 16
        case .merchants: 32
        }
    }

    static let totalCapacity = 56

    @inline(__always)
    func hash(_ event: WindowEvent) -> UInt64 {
        switch self {
        case .countries: event.country
        case .devices: event.device
        case .merchants: event.merchant
        }
    }
}
