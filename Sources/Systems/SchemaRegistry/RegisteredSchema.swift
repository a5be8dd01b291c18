import Foundation

/// What the registry has under an id.
public enum RegisteredSchema: Sendable {
    case avro(AvroSchema)
    /// What was framed is JSON; what it promises is not asked for.
    case json
    /// Nothing that records can be read with, and why.
    case unusable(String)
    /// The registry does not know the id.
    case unknown

    /// - Parameter answer: Of `GET /schemas/ids/{id}`.
    /// - Returns: nil: it is no such answer.
    init?(answer: [UInt8]) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any],
            let text = object["schema"] as? String
        else { return nil }
        switch object["schemaType"] as? String ?? "AVRO" {
        case "AVRO":
            if let references = object["references"] as? [Any], !references.isEmpty {
                self = .unusable("it refers to other schemas, which are not followed")
                return
            }
            do throws(AvroSchemaError) {
                self = .avro(try AvroSchema(json: text))
            } catch {
                self = .unusable(error.description)
            }
        case "JSON": self = .json
        case let other: self = .unusable("\(other.prefix(32)) is not read, Avro and JSON are")
        }
    }
}
