import Exact

extension TimeText {
    /// For tables of people's own, where only the order counts: a finite number as it is, or a time in milliseconds
    /// since 1970 UTC. A time without a zone is of the place, a day without a time is its midnight.
    static func sortable(_ text: UnsafeBufferPointer<UInt8>, zone: PlaceZone) -> Double? {
        ValueText.number(text).value ?? ValueText.time(text, zone: zone).value.map { Double($0) }
    }
}
