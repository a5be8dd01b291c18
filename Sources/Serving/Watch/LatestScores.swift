/// The latest scores of a model with the stream's time of each, in a ring.
struct LatestScores: Sendable {
    static let capacity = 4_096

    private struct Entry {
        let time: Int64
        let score: Double
    }

    private var entries: [Entry] = []
    /// Where the oldest stands once the ring is full.
    private var next = 0

    /// - Parameter time: Not before the one that was added last.
    mutating func add(_ score: Double, at time: Int64) {
        let entry = Entry(time: time, score: score)
        if entries.count < Self.capacity {
            entries.append(entry)
        } else {
            entries[next] = entry
            next = (next + 1) % Self.capacity
        }
    }

    /// Those from a time on, and so many before it as it takes to have enough.
    ///
    /// - Parameters:
    ///   - count: How many are enough.
    ///   - earliest: None from before it; not after `time`.
    /// - Returns: nil: there are not enough.
    func since(_ time: Int64, atLeast count: Int, earliest: Int64) -> [Double]? {
        let ordered = entries[next...] + entries[..<next]
        let found = ordered.count { $0.time >= time }
        let known = ordered.count { $0.time >= earliest }
        guard known >= count else { return nil }
        return ordered.suffix(max(found, count)).map(\.score)
    }
}
