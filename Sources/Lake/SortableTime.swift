import Exact

extension TimeText {
    /// For tables of people's own, where only the order counts: a finite number as it is, or a time in milliseconds
    /// since 1970 UTC. A time without a zone is in UTC, a day without a time is its midnight.
    static func sortable(_ text: UnsafeBufferPointer<UInt8>) -> Double? {
        let text = String(decoding: text, as: UTF8.self)
        if let number = Double(text) { return number.isFinite ? number : nil }
        for end in ["", "Z", "T00:00:00Z"] {
            let time = Array((text + end).utf8).withUnsafeBufferPointer { milliseconds($0) }
            if let time { return Double(time) }
        }
        return nil
    }
}
