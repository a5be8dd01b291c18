import Exact

extension TimeText {
    /// For tables of people's own, where only the order counts: a finite number as it is, or a time in milliseconds
    /// since 1970 UTC. A time without a zone is in UTC, a day without a time is its midnight.
    static func sortable(_ text: UnsafeBufferPointer<UInt8>) -> Double? {
        ValueText.number(text).value ?? ValueText.time(text, zone: .utc).value.map { Double($0) }
    }
}
