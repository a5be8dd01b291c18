/// Confluent's wire format: a zero, the schema's id in four bytes, and what was serialised by it.
enum ConfluentFraming {
    static let headerSize = 5

    /// The JSON of a record that a JSON Schema serialiser wrote; any other record as it is.
    ///
    /// For streams without a schema registry: what begins with a brace is taken for JSON, and the parser checks what came. No
    /// JSON begins with a zero.
    static func json(_ payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard payload.first == 0, payload.count > headerSize, payload[headerSize] == UInt8(ascii: "{") else {
            return payload
        }
        return content(payload)
    }

    /// Of a record that is framed; nil: it is not.
    static func schemaID(_ payload: UnsafeRawBufferPointer) -> UInt32? {
        guard payload.first == 0, payload.count > headerSize else { return nil }
        return payload[1..<headerSize].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// What stands behind the header of a framed record.
    static func content(_ payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: payload[headerSize...])
    }
}
