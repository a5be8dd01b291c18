import CAvro

/// One value of a record. Texts and bytes are borrowed until the decoder's next record.
public enum AvroValue {
    case null
    case boolean(Bool)
    case integer(Int64)
    case real(Double)
    /// UTF-8 as it came, unchecked.
    case text(UnsafeBufferPointer<UInt8>)
    case bytes(UnsafeBufferPointer<UInt8>)
    /// A record, a list or a map, whose content is passed over.
    case nested
}

/// What is wrong with a record's bytes.
public enum AvroFault: Error, CustomStringConvertible {
    case damaged, tooLong, tooDeep, tooMany

    public var description: String {
        switch self {
        case .damaged: "the record ends too early, or holds what its schema does not have"
        case .tooLong: "bytes are left behind the record: it was not written by its schema"
        case .tooDeep: "the record is nested deeper than \(CAVRO_MAXIMUM_DEPTH) levels"
        case .tooMany: "the record claims more elements than its bytes can stand for"
        }
    }
}

/// Reads Avro records, with libavro.
///
/// Used by one thread at a time; keeps its buffers from record to record. A record may be any bytes: what it claims to hold is
/// bounded by its length.
///
///     try decoder.read(bytes, schema)
///     let (value, branch) = decoder[0]
public final class AvroDecoder {
    private let decoder: OpaquePointer
    private var values: [cavro_value] = []

    public init() {
        // There is no memory: nothing of the record's making.
        guard let decoder = cavro_decoder_create() else { preconditionFailure("no memory for a decoder") }
        self.decoder = decoder
    }

    deinit { cavro_decoder_destroy(decoder) }

    /// - Throws: `AvroFault`; the values are of no use then.
    public func read(_ bytes: UnsafeRawBufferPointer, _ schema: AvroSchema) throws(AvroFault) {
        let missing = max(1, schema.fields.count) - values.count
        if missing > 0 { values += [cavro_value](repeating: cavro_value(), count: missing) }
        let outcome = values.withUnsafeMutableBufferPointer {
            cavro_decode(decoder, schema.handle, bytes.baseAddress, bytes.count, $0.baseAddress)
        }
        switch Int(outcome) {
        case Int(CAVRO_READ): return
        case Int(CAVRO_TOO_LONG): throw .tooLong
        case Int(CAVRO_TOO_DEEP): throw .tooDeep
        case Int(CAVRO_TOO_MANY): throw .tooMany
        default: throw .damaged
        }
    }

    /// A field of the last record, and which branch of its union it is.
    public subscript(field: Int) -> (value: AvroValue, branch: Int) {
        let found = values[field]
        return (Self.value(found), Int(found.branch))
    }

    private static func value(_ found: cavro_value) -> AvroValue {
        var bytes: UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(
                start: UnsafeRawPointer(found.bytes)?.assumingMemoryBound(to: UInt8.self), count: found.length
            )
        }
        switch Int(found.kind) {
        case Int(CAVRO_BOOLEAN): return .boolean(found.integer != 0)
        case Int(CAVRO_INTEGER): return .integer(found.integer)
        case Int(CAVRO_REAL): return .real(found.real)
        case Int(CAVRO_TEXT): return .text(bytes)
        case Int(CAVRO_BYTES): return .bytes(bytes)
        case Int(CAVRO_NESTED): return .nested
        default: return .null
        }
    }
}
