/// Writes JSON straight into bytes: the verdicts' order of fields is part of their contract.
struct JSONWriter {
    private(set) var bytes: [UInt8]
    private var needsComma = false

    init(reusing bytes: [UInt8] = []) { self.bytes = bytes }

    mutating func beginObject(_ name: StaticString? = nil) { open("{", name) }
    mutating func beginArray(_ name: StaticString) { open("[", name) }
    mutating func endObject() { close("}") }
    mutating func endArray() { close("]") }

    mutating func field(_ name: StaticString, _ value: String) {
        key(name)
        var value = value
        value.withUTF8 { string($0) }
    }

    mutating func field(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>) {
        key(name)
        string(value)
    }

    mutating func field(_ name: StaticString, _ value: Int64) {
        key(name)
        bytes.append(contentsOf: "\(value)".utf8)
    }

    /// The shortest decimal that reads back as the same number; null when it is not finite.
    mutating func field(_ name: StaticString, _ value: Double) {
        key(name)
        bytes.append(contentsOf: (value.isFinite ? "\(value)" : "null").utf8)
    }

    mutating func nullField(_ name: StaticString) {
        key(name)
        bytes.append(contentsOf: "null".utf8)
    }

    /// One string of an array.
    mutating func element(_ value: StaticString) {
        comma()
        value.withUTF8Buffer { string($0) }
    }

    private mutating func comma() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func key(_ name: StaticString) {
        comma()
        name.withUTF8Buffer { string($0) }
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func open(_ bracket: Unicode.Scalar, _ name: StaticString?) {
        if let name { key(name) } else { comma() }
        bytes.append(UInt8(ascii: bracket))
        needsComma = false
    }

    private mutating func close(_ bracket: Unicode.Scalar) {
        bytes.append(UInt8(ascii: bracket))
        needsComma = true
    }

    private mutating func string(_ text: UnsafeBufferPointer<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        if text.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) {
            for byte in text { appendEscaped(byte) }
        } else {
            bytes.append(contentsOf: text)
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            bytes.append(UInt8(ascii: "\\"))
            bytes.append(byte)
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            bytes.append(contentsOf: "\\u00".utf8)
            bytes.append(digits[Int(byte >> 4)])
            bytes.append(digits[Int(byte & 15)])
        default:
            bytes.append(byte)
        }
    }
}
