/// Confluent's wire format: a zero, the schema's id in four bytes, and what was serialised by it.
enum ConfluentFraming {
    private static let headerSize = 5

    /// The JSON of a record that a JSON Schema serialiser wrote; any other record as it is.
    ///
    /// The schema is not asked for: it says what the producer promises, and the parser checks what came. No JSON begins with a
    /// zero.
    static func json(_ payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard payload.first == 0, payload.count > headerSize, payload[headerSize] == UInt8(ascii: "{") else {
            return payload
        }
        return UnsafeRawBufferPointer(rebasing: payload[headerSize...])
    }
}
