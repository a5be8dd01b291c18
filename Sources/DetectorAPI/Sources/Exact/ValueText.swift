import CExact

/// What a text of a table, a file or a message says, whoever wrote it: the same in every reader.
///
///     ValueText.number(bytes)  // .value(12.5), .missing, or what is wrong
public enum ValueText {
    public enum Reading<Value: Sendable & Hashable>: Sendable, Hashable {
        case value(Value)
        /// It stands for no value: empty, `NULL`, `\N`, `NaN` and the like.
        case missing
        case refused(Refusal)

        public var value: Value? {
            if case .value(let value) = self { value } else { nil }
        }
    }

    /// Why a text is refused.
    public enum Refusal: Sendable, Hashable, CustomStringConvertible {
        case malformed
        case notFinite
        case noZone
        case outOfRange

        public var description: String {
            switch self {
            case .malformed: "it is nothing of this kind"
            case .notFinite: "it is beyond the range of a double"
            case .noZone: "it does not say its zone: write Z or +01:00 behind it, or name a timezone"
            case .outOfRange:
                "it is no time: seconds, milli-, micro- or nanoseconds since 1970, in the years 1971 to 2199"
            }
        }

        /// nil for what the C code calls a value or missing.
        public init?(code: Int32) {
            switch Int(code) {
            case EXACT_VALUE, EXACT_MISSING: return nil
            case EXACT_NOT_FINITE: self = .notFinite
            case EXACT_NO_ZONE: self = .noZone
            case EXACT_OUT_OF_RANGE: self = .outOfRange
            default: self = .malformed
            }
        }
    }

    /// Whether a text of any field stands for no value: empty, `NULL`, `null`, `\N`, `NaN`, `nan`, `<NA>`, `NaT`,
    /// `#N/A`. Not `NA`, which is Namibia, nor `None`, which is a category like any other.
    public static func isMissing(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count <= 4 else { return false }
        return withCharacters(text) { exact_is_missing($0, $1) != 0 }
    }

    /// A decimal number, correctly rounded; blanks around it are passed over. Neither thousands separators nor
    /// hexadecimal. `NA`, `N/A` and `None` are missing too.
    public static func number(_ text: UnsafeBufferPointer<UInt8>) -> Reading<Double> {
        var value = 0.0
        let code = withCharacters(text) { exact_number($0, $1, &value) }
        return reading(code, value)
    }

    /// `true`, `t`, `yes`, `y`, numbers but 0; `false`, `f`, `no`, `n`, 0; in either case.
    public static func boolean(_ text: UnsafeBufferPointer<UInt8>) -> Reading<Bool> {
        var value: Int32 = 0
        let code = withCharacters(text) { exact_boolean($0, $1, &value) }
        return reading(code, value != 0)
    }

    /// A time in milliseconds since 1970 UTC: RFC 3339 and what exporters make of it, or a count of seconds, milli-,
    /// micro- or nanoseconds; `exact_time` in exact.h has the whole list.
    ///
    /// - Parameter zone: Of times that do not say theirs; nil: they are refused.
    public static func time(_ text: UnsafeBufferPointer<UInt8>, zone: PlaceZone? = nil) -> Reading<Int64> {
        var value: Int64 = 0
        let code = PlaceZone.withPointer(zone) { zone in
            withCharacters(text) { exact_time($0, $1, zone, &value) }
        }
        return reading(code, value)
    }

    private static func reading<Value>(_ code: Int32, _ value: Value) -> Reading<Value> {
        if Int(code) == EXACT_VALUE { return .value(value) }
        return Refusal(code: code).map { .refused($0) } ?? .missing
    }

    private static func withCharacters<R>(
        _ text: UnsafeBufferPointer<UInt8>, _ body: (UnsafePointer<CChar>, Int) -> R
    ) -> R {
        guard let start = text.baseAddress else { return body("", 0) }
        return start.withMemoryRebound(to: CChar.self, capacity: text.count) { body($0, text.count) }
    }
}
