import CExact

/// The offsets of a place from UTC, for times that do not say theirs.
public struct PlaceZone: Sendable, Hashable {
    /// `Europe/Amsterdam`, for messages.
    public let name: String
    private let starts: [Int64]
    private let offsets: [Int64]

    public static let utc = PlaceZone(name: "UTC", offsets: [(start: .min, offset: 0)])

    /// - Parameter offsets: When each begins, in milliseconds since 1970 UTC, ascending, and how many milliseconds it
    ///   is east of Greenwich; the first counts for all time before. At least one.
    public init(name: String, offsets: [(start: Int64, offset: Int64)]) {
        precondition(!offsets.isEmpty, "a place has an offset from UTC")
        self.name = name
        starts = offsets.map(\.start)
        self.offsets = offsets.map(\.offset)
    }

    /// Calls `body` with the C form of a zone, nil for nil; it holds during the call.
    public static func withPointer<R, Failure: Error>(
        _ zone: PlaceZone?, _ body: (UnsafePointer<exact_zone>?) throws(Failure) -> R
    ) throws(Failure) -> R {
        guard let zone else { return try body(nil) }
        return try zone.starts.withUnsafeBufferPointer { starts throws(Failure) in
            try zone.offsets.withUnsafeBufferPointer { offsets throws(Failure) in
                var zone = exact_zone(
                    starts: starts.baseAddress, offsets: offsets.baseAddress, count: starts.count)
                return try body(&zone)
            }
        }
    }
}
