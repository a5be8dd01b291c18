/// What a window knows of a user's past, as of one transaction: how far it reaches back, and which lists are full.
///
/// Features do not say it, and a sentence of what is usual or new would be false without it.
public struct WindowMemory: Sendable, Hashable {
    /// Since the beginning of the oldest day in reach that has a payment; 0 where there is none.
    public let seconds: Double
    /// Whether the user's latest payment is later than the transaction, whose predecessor is then not known.
    public let isOvertaken: Bool
    /// By the set's place.
    private var fullSets: UInt8 = 0

    init(seconds: Double, isOvertaken: Bool = false) {
        self.seconds = seconds
        self.isOvertaken = isOvertaken
    }

    mutating func markFull(_ set: RecentSet) { fullSets |= 1 << set.rawValue }

    /// Whether the set has let go of members seen within 30 d, or may have.
    func isFull(_ set: RecentSet) -> Bool { fullSets & 1 << set.rawValue != 0 }
}

extension UserWindow {
    /// What this window, which does not hold the event yet, knows. A decay to a time before the event does not
    /// change it.
    public func memory(for event: WindowEvent) -> WindowMemory {
        let time = event.windowTime
        let floor = WindowTier.month.bucket(of: time) - WindowTier.month.length
        let days = buckets.prefix(Int(tierCounts[WindowTier.month.rawValue]))
        let start = days.first { $0.index > floor }
            .map { Int64($0.index) * WindowTier.month.widthMilliseconds }
        var memory = WindowMemory(
            seconds: start.map { Double(max(0, time - $0)) / 1_000 } ?? 0,
            isOvertaken: !isEmpty && time < lastTime)
        var end = 0
        for set in RecentSet.allCases {
            let count = Int(setCounts[set.rawValue])
            end += count
            // What it let go of is older than its last: no matter when that is out of reach itself.
            if count == set.capacity, recents[end - 1].day > floor { memory.markFull(set) }
        }
        return memory
    }
}
