/// Reads RFC 3339 times, for lakes that keep them as text.
enum TimeText {
    /// Milliseconds since 1970 UTC, or nil when `text` is no RFC 3339 time of the years 0001 to 9999.
    ///
    /// The zone is required. Digits past the millisecond are cut off; second 60, a leap second, counts as the first
    /// of the next minute.
    static func milliseconds(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        var scanner = Scanner(text: text)
        guard let year = scanner.digits(4), scanner.skip("-"),
            let month = scanner.digits(2), scanner.skip("-"),
            let dayOfMonth = scanner.digits(2), scanner.skip("T") || scanner.skip("t") || scanner.skip(" "),
            let hour = scanner.digits(2), scanner.skip(":"),
            let minute = scanner.digits(2), scanner.skip(":"),
            let second = scanner.digits(2),
            let day = LakeDay(year: year, month: month, day: dayOfMonth),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        guard let fraction = scanner.millisecondFraction(), let offset = scanner.zoneMinutes(),
            scanner.isAtEnd
        else { return nil }
        let seconds = (hour * 60 + minute - offset) * 60 + second
        return day.startMilliseconds + Int64(seconds * 1000 + fraction)
    }

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

    private struct Scanner {
        let text: UnsafeBufferPointer<UInt8>
        var position = 0

        var isAtEnd: Bool { position == text.count }

        mutating func digit() -> Int? {
            guard position < text.count, (48...57).contains(text[position]) else { return nil }
            position += 1
            return Int(text[position - 1] - 48)
        }

        mutating func digits(_ count: Int) -> Int? {
            var number = 0
            for _ in 0..<count {
                guard let digit = digit() else { return nil }
                number = number * 10 + digit
            }
            return number
        }

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard position < text.count, text[position] == UInt8(ascii: character) else { return false }
            position += 1
            return true
        }

        mutating func millisecondFraction() -> Int? {
            guard skip(".") else { return 0 }
            var milliseconds = 0
            var weight = 100
            guard let first = digit() else { return nil }
            milliseconds += first * weight
            while let next = digit() {
                weight /= 10
                milliseconds += next * weight
            }
            return milliseconds
        }

        /// East of Greenwich.
        mutating func zoneMinutes() -> Int? {
            if skip("Z") || skip("z") { return 0 }
            let sign = skip("+") ? 1 : skip("-") ? -1 : 0
            guard sign != 0, let hours = digits(2), skip(":"), let minutes = digits(2), hours < 24,
                minutes < 60
            else { return nil }
            return sign * (hours * 60 + minutes)
        }
    }
}
