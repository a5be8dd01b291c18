import Exact
import SchemaRegistry

/// What of a batch was serialised by a schema of the registry, as JSON for the parser.
///
/// Holds a decoder's buffers: one for each reading thread.
final class FramedRecords {
    /// Why a record cannot be read by its schema.
    struct Refusal {
        /// A word for machines.
        let reason: String
        /// A sentence for people.
        let detail: String
    }

    private enum Reader {
        case avro(AvroSchema, AvroJSON)
        case json
        case refused(Refusal)
    }

    /// Where a payload's JSON is.
    private enum Place {
        case payload(UnsafeRawBufferPointer)
        case written(Range<Int>)
    }

    private let registry: SchemaRegistry
    private let decoder = AvroDecoder()
    /// The JSON of one batch.
    private var written: [UInt8] = []
    /// By schema, of one batch: the registry remembers what it has said.
    private var readers: [UInt32: Reader] = [:]

    init(_ registry: SchemaRegistry) { self.registry = registry }

    /// Lends each payload to `body` as the parser wants it; those that are refused are empty.
    ///
    /// - Throws: `SchemaRegistryError`: the batch is to be tried again.
    func read<Result>(
        _ payloads: [UnsafeRawBufferPointer],
        _ body: (_ json: [UnsafeRawBufferPointer], _ refused: [Int: Refusal]) -> Result
    ) throws(SchemaRegistryError) -> Result {
        readers.removeAll(keepingCapacity: true)
        written.removeAll(keepingCapacity: true)
        var refused: [Int: Refusal] = [:]
        var places: [Place] = []
        places.reserveCapacity(payloads.count)
        for (index, payload) in payloads.enumerated() {
            guard let id = ConfluentFraming.schemaID(payload) else {
                places.append(.payload(payload))
                continue
            }
            let content = ConfluentFraming.content(payload)
            switch try reader(id) {
            case .json: places.append(.payload(content))
            case .refused(let refusal):
                refused[index] = refusal
                places.append(.written(0..<0))
            case .avro(let schema, let mapping):
                let start = written.count
                do throws(AvroFault) {
                    try decoder.read(content, schema)
                    var json = JSONWriter(reusing: written)
                    written = []
                    mapping.append(decoder, to: &json)
                    written = json.take()
                } catch {
                    refused[index] = Refusal(reason: "damaged-avro", detail: "schema \(id): \(error)")
                }
                places.append(.written(start..<written.count))
            }
        }
        return written.withUnsafeBytes { written in
            let payloads = places.map { place in
                switch place {
                case .payload(let bytes): bytes
                case .written(let range): UnsafeRawBufferPointer(rebasing: written[range])
                }
            }
            return body(payloads, refused)
        }
    }

    private func reader(_ id: UInt32) throws(SchemaRegistryError) -> Reader {
        if let known = readers[id] { return known }
        let reader: Reader =
            switch try registry.schema(id) {
            case .avro(let schema): .avro(schema, AvroJSON(schema))
            case .json: .json
            case .unusable(let reason):
                .refused(Refusal(reason: "unusable-schema", detail: "schema \(id): \(reason)"))
            case .unknown:
                .refused(
                    Refusal(
                        reason: "unknown-schema", detail: "schema \(id) is not known to \(registry.place)"))
            }
        readers[id] = reader
        return reader
    }
}
