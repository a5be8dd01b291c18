import Exact
import Foundation

extension Settings {
    /// The place whose clock gave times that do not say their zone; nil: none is named.
    ///
    /// - Throws: `UsageError` for a place that nobody knows.
    func zone() throws -> PlaceZone? {
        guard let name = optionalText("timezone") else { return nil }
        guard let zone = TimeZone(identifier: name) else {
            throw UsageError(
                "timezone cannot be '\(name)': it is a place of the IANA database, Europe/Amsterdam")
        }
        return PlaceZone(name: name, zone)
    }
}

extension PlaceZone {
    private static let weekSeconds = 7 * 86_400

    /// The offsets of a zone from 1970 to 2199: looked up for every week, and between two that differ to the second.
    init(name: String, _ zone: TimeZone) {
        func offset(_ second: Int) -> Int64 {
            Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(second)))) * 1_000
        }
        var offsets = [(start: Int64.min, offset: offset(0))]
        let end = Int(TimeText.acceptedMilliseconds.upperBound / 1_000)
        for week in stride(from: 0, to: end, by: Self.weekSeconds) {
            let next = week + Self.weekSeconds
            let (before, after) = (offset(week), offset(next))
            guard before != after else { continue }
            var (low, high) = (week, next)
            while high - low > 1 {
                let middle = low + (high - low) / 2
                if offset(middle) == before { low = middle } else { high = middle }
            }
            offsets.append((start: Int64(high) * 1_000, offset: after))
        }
        self.init(name: name, offsets: offsets)
    }
}
