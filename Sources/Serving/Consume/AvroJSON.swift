import Exact
import SchemaRegistry
import Transactions

/// Which fields of a schema are a transaction's, and their values as the JSON that a producer of JSON would have sent.
///
/// The parser then reads it as it reads any message, so that a transaction has the same windows and the same verdict whichever
/// way it came; and what a value may look like is said in one place.
struct AvroJSON {
    private struct Field {
        let key: String
        let index: Int
        let meanings: [AvroSchema.Meaning]
    }

    private static let keys =
        Set(TextField.allCases.map(\.key)).union([timeKey, "amount", "latitude", "longitude"])
    private static let timeKey = "timestamp"

    private let fields: [Field]

    /// - Parameter schema: Fields are known by their names, those of the JSON; others are passed over.
    init(_ schema: AvroSchema) {
        fields = schema.fields.enumerated().compactMap { index, field in
            Self.keys.contains(field.name)
                ? Field(key: field.name, index: index, meanings: field.meanings) : nil
        }
    }

    /// Appends the record that was read last.
    func append(_ record: AvroDecoder, to json: inout JSONWriter) {
        json.beginObject()
        for field in fields {
            let (value, branch) = record[field.index]
            if case .null = value { continue }
            let meaning = field.meanings.indices.contains(branch) ? field.meanings[branch] : .plain
            json.key(field.key)
            Self.append(value, meaning, isTime: field.key == Self.timeKey, to: &json)
        }
        json.endObject()
    }

    private static func append(
        _ value: AvroValue, _ meaning: AvroSchema.Meaning, isTime: Bool, to json: inout JSONWriter
    ) {
        switch (value, meaning) {
        case (.null, _): json.append("null")
        case (.boolean(let value), _): json.append(value ? "true" : "false")
        case (.integer(let count), .timestamp(let perSecond, let isLocal)) where isTime:
            appendTime(count, perSecond: perSecond, isLocal: isLocal, to: &json)
        case (.integer(let days), .date) where isTime: appendDate(days, to: &json)
        case (.integer(let value), _): json.append(value)
        // A float is the double that is equal to it, which may have more digits than its producer wrote.
        case (.real(let value), _): value.isFinite ? json.append(value) : json.append(text: "\(value)")
        case (.text(let text), _): json.append(utf8: text)
        case (.bytes(let bytes), .decimal(let scale)):
            json.append(text: DecimalText.text(unscaled: bytes, scale: scale))
        // For the parser a list, which no field of a transaction is.
        case (.bytes, _), (.nested, _): json.append("[]")
        }
    }

    /// The unit is known here. The parser would tell it by the number's size, and take a count of milliseconds that is too small
    /// for seconds: such a count is given as a text, which it refuses and shows.
    private static func appendTime(
        _ count: Int64, perSecond: Int64, isLocal: Bool, to json: inout JSONWriter
    ) {
        let perMillisecond = perSecond / 1_000
        let whole = count / perMillisecond
        let milliseconds = count % perMillisecond < 0 ? whole - 1 : whole
        guard TimeText.acceptedMilliseconds.contains(milliseconds) else {
            return json.append(text: "\(count) / \(perSecond) s since 1970")
        }
        guard isLocal else { return json.append(milliseconds) }
        // Without the Z: of the place that `timezone` names.
        json.append(text: String(TimeText.text(milliseconds).dropLast()))
    }

    private static func appendDate(_ days: Int64, to json: inout JSONWriter) {
        let (milliseconds, isTooLarge) = days.multipliedReportingOverflow(by: 86_400_000)
        guard !isTooLarge, TimeText.acceptedMilliseconds.contains(milliseconds) else {
            return json.append(text: "\(days) days since 1970")
        }
        json.append(text: String(TimeText.text(milliseconds).prefix(10)))
    }
}

/// Avro's decimals as text: exact, whatever their length.
enum DecimalText {
    /// Longer numbers are beyond the range of a double.
    private static let maximumBytes = 128

    /// - Parameters:
    ///   - unscaled: A whole number, big-endian, two's complement; none is 0.
    ///   - scale: How many of its digits stand behind the point.
    static func text(unscaled: UnsafeBufferPointer<UInt8>, scale: Int) -> String {
        let isNegative = unscaled.first.map { $0 >= 0x80 } ?? false
        var magnitude = Array(unscaled.drop { $0 == (isNegative ? 0xFF : 0) })
        guard magnitude.count <= maximumBytes else { return isNegative ? "-1e999" : "1e999" }
        if isNegative { negate(&magnitude) }
        var digits = decimalDigits(&magnitude)
        if digits.count <= scale {
            digits = [UInt8](repeating: UInt8(ascii: "0"), count: scale + 1 - digits.count) + digits
        }
        if scale > 0 { digits.insert(UInt8(ascii: "."), at: digits.count - scale) }
        return (isNegative ? "-" : "") + String(decoding: digits, as: UTF8.self)
    }

    /// Of a number whose leading bytes of ones are gone: the result may need one more.
    private static func negate(_ bytes: inout [UInt8]) {
        for index in bytes.indices { bytes[index] = ~bytes[index] }
        for index in bytes.indices.reversed() {
            bytes[index] &+= 1
            if bytes[index] != 0 { return }
        }
        bytes.insert(1, at: 0)
    }

    /// Divides by ten to the power of nine again and again; at least one digit.
    private static func decimalDigits(_ bytes: inout [UInt8]) -> [UInt8] {
        var reversed: [UInt8] = []
        while let first = bytes.firstIndex(where: { $0 != 0 }) {
            bytes.removeFirst(first)
            var remainder: UInt64 = 0
            for index in bytes.indices {
                let dividend = remainder << 8 | UInt64(bytes[index])
                bytes[index] = UInt8(dividend / 1_000_000_000)
                remainder = dividend % 1_000_000_000
            }
            for _ in 0..<9 {
                reversed.append(UInt8(ascii: "0") + UInt8(remainder % 10))
                remainder /= 10
            }
        }
        while reversed.last == UInt8(ascii: "0") { reversed.removeLast() }
        return reversed.isEmpty ? [UInt8(ascii: "0")] : reversed.reversed()
    }
}
