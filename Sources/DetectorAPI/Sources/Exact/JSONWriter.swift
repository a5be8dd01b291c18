/// JSON being written straight into bytes. Its user sees to the order of members: the same content gives the same bytes.
///
///     var json = JSONWriter()
///     json.beginObject()
///     json.field("score", -0.5)
///     json.endObject()  // json.bytes is {"score":-0.5}
public struct JSONWriter {
    public private(set) var bytes: [UInt8]
    private var needsComma = false

    /// - Parameter bytes: What is there already; the JSON is appended.
    public init(reusing bytes: [UInt8] = []) { self.bytes = bytes }

    /// Makes room for so many bytes, so that they are not moved again and again.
    public mutating func reserveCapacity(_ count: Int) { bytes.reserveCapacity(count) }

    /// The bytes, which leave the writer empty: no copy is made.
    public mutating func take() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        return taken
    }

    // MARK: Members and elements, with the commas between them. Their names need no escapes.

    public mutating func beginObject(_ name: StaticString? = nil) { open(UInt8(ascii: "{"), name) }
    public mutating func beginArray(_ name: StaticString) { open(UInt8(ascii: "["), name) }
    public mutating func endObject() { close(UInt8(ascii: "}")) }
    public mutating func endArray() { close(UInt8(ascii: "]")) }

    public mutating func field(_ name: StaticString, _ value: String) {
        key(name)
        append(text: value)
    }

    public mutating func field(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>) {
        key(name)
        append(utf8: value)
    }

    /// A text without anything to escape, which `value` appends: digits for example.
    public mutating func field(_ name: StaticString, _ value: (inout [UInt8]) -> Void) {
        key(name)
        bytes.append(UInt8(ascii: "\""))
        value(&bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    public mutating func field(_ name: StaticString, _ value: Int64) {
        key(name)
        append(value)
    }

    /// The shortest decimal that reads back as the same number; null when it is not finite.
    public mutating func field(_ name: StaticString, _ value: Double) {
        key(name)
        append(value)
    }

    public mutating func nullField(_ name: StaticString) {
        key(name)
        append("null")
    }

    /// One string of an array.
    public mutating func element(_ value: StaticString) {
        comma()
        value.withUTF8Buffer { append(utf8: $0) }
    }

    /// Members that were written before, as one piece: `"a":1,"b":2`.
    public mutating func members(_ written: [UInt8]) {
        comma()
        bytes.append(contentsOf: written)
    }

    /// The name of a member whose value is appended as pieces.
    public mutating func key(_ name: String) {
        comma()
        append(text: name)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func comma() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func key(_ name: StaticString) {
        // One append a name: every verdict has some twenty of them.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: name.utf8CodeUnitCount + 4) { piece in
            var count = 0
            func put(_ mark: Unicode.Scalar) {
                piece[count] = UInt8(ascii: mark)
                count += 1
            }
            if needsComma { put(",") }
            put("\"")
            let text = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
            count = piece[count...].update(fromContentsOf: text)
            put("\"")
            put(":")
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: piece[..<count]))
        }
        needsComma = true
    }

    private mutating func open(_ bracket: UInt8, _ name: StaticString?) {
        if let name { key(name) } else { comma() }
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    // MARK: Pieces, for those who write the punctuation themselves

    /// Punctuation and names that need no escapes, as they are.
    public mutating func append(_ plain: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: plain.utf8Start, count: plain.utf8CodeUnitCount))
    }

    /// Bytes that are JSON already, as they are.
    public mutating func append(plain json: UnsafeBufferPointer<UInt8>) { bytes.append(contentsOf: json) }

    public mutating func append(_ number: some FixedWidthInteger) {
        if let small = UInt64(exactly: number) { return Digits.append(small, to: &bytes) }
        if let negative = Int64(exactly: number) {
            bytes.append(UInt8(ascii: "-"))
            return Digits.append(negative.magnitude, to: &bytes)
        }
        bytes.append(contentsOf: String(number).utf8)
    }

    /// The shortest decimal that reads back as the same number; null when it is not finite.
    public mutating func append(_ number: Double) {
        guard number.isFinite else { return append("null") }
        bytes.append(contentsOf: number.description.utf8)
    }

    /// A text in quotes; what JSON does not allow inside is escaped, nothing else.
    public mutating func append(text: String) {
        var text = text
        text.withUTF8 { append(utf8: $0) }
    }

    /// The same for UTF-8 bytes.
    public mutating func append(utf8 text: UnsafeBufferPointer<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        var start = 0
        for at in text.indices where Self.isEscaped(text[at]) {
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start..<at]))
            appendEscaped(text[at])
            start = at + 1
        }
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start...]))
        bytes.append(UInt8(ascii: "\""))
    }

    private static func isEscaped(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func appendEscaped(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        if byte >= 0x20 { return bytes.append(byte) }
        append("u00")
        bytes.append(Hex.digit(byte >> 4))
        bytes.append(Hex.digit(byte & 15))
    }
}
