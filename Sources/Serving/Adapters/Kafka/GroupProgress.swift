/// Which partitions the group does not get on in, by its committed offsets and the ends of the logs alone, as one worker
/// can ask for both without being any partition's reader.
///
/// A partition stands when its committed offset has not moved for a while, and its log has grown since it did. A log that
/// merely ends behind the offset says nothing: markers of transactions have offsets of their own that nobody commits.
struct GroupProgress {
    struct Standing: Sendable, Hashable {
        let partition: Int32
        /// nil: nothing was ever committed.
        let committed: Int64?
        let end: Int64
        let duration: Duration
    }

    private struct Place {
        var committed: Int64?
        var since: ContinuousClock.Instant
        /// The log's end when the offset had moved.
        let endThen: Int64
        var end: Int64
    }

    private var places: [Int32: Place] = [:]

    /// - Parameters:
    ///   - committed: Partitions that are absent keep the offset that was last known of them: it is not told while a
    ///     transaction is about to change it.
    ///   - ends: Of all partitions.
    mutating func note(
        committed: [Int32: Int64], ends: [Int32: Int64], at now: ContinuousClock.Instant
    ) {
        for (partition, end) in ends {
            let offset = committed[partition] ?? places[partition]?.committed
            if places[partition] != nil, places[partition]?.committed == offset {
                places[partition]?.end = end
            } else {
                places[partition] = Place(committed: offset, since: now, endThen: end, end: end)
            }
        }
        places = places.filter { ends[$0.key] != nil }
    }

    /// Nothing was to be had for a while: what was known says nothing of now.
    mutating func forget() { places = [:] }

    /// Those that have stood for longer than the bound, in order.
    func standing(longerThan bound: Duration, at now: ContinuousClock.Instant) -> [Standing] {
        places.filter { now - $0.value.since > bound && $0.value.end > $0.value.endThen }
            .map { partition, place in
                Standing(
                    partition: partition, committed: place.committed, end: place.end,
                    duration: now - place.since)
            }
            .sorted { $0.partition < $1.partition }
    }
}
