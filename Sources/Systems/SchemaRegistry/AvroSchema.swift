import CAvro
import Foundation

/// An Avro schema of a record, as its writer had it.
///
/// `@unchecked Sendable`: libavro's schema is not changed once it is made, and every call of libavro is made under one lock.
public final class AvroSchema: @unchecked Sendable {
    /// What a value stands for, besides its type: Avro's logical types.
    public enum Meaning: Sendable, Hashable {
        case plain
        /// An unscaled whole number, big-endian, two's complement; the value is it times ten to the power of `-scale`.
        case decimal(scale: Int)
        /// A count since 1970 UTC, or, local, since 1970 of a clock whose place is not said.
        case timestamp(perSecond: Int64, isLocal: Bool)
        /// Days since 1970.
        case date
    }

    public struct Field: Sendable {
        public let name: String
        /// One for each branch of a union, in order; one where the field is none.
        public let meanings: [Meaning]
    }

    let handle: OpaquePointer
    public let fields: [Field]

    /// Deeper ones are refused: no transaction needs them, and libavro reads them by recursion.
    static let maximumDepth = 64

    /// - Throws: `AvroSchemaError`.
    public init(json: String) throws(AvroSchemaError) {
        guard let root = try? JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
        else { throw AvroSchemaError("it is not JSON") }
        var meanings = SchemaMeanings()
        guard meanings.collect(root, namespace: nil, depth: 0) else {
            throw AvroSchemaError("it is nested deeper than \(Self.maximumDepth) levels")
        }
        var problem = [CChar](repeating: 0, count: 256)
        var text = json
        let created = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                cavro_schema_create($0.baseAddress, $0.count, &problem, problem.count)
            }
        }
        guard let created else {
            let bytes = problem.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw AvroSchemaError(String(decoding: bytes, as: UTF8.self))
        }
        handle = created
        let declared = meanings.fields(of: root)
        fields = (0..<cavro_field_count(created)).map { index in
            let name = cavro_field_name(created, index).map { String(cString: $0) } ?? ""
            return Field(name: name, meanings: declared.indices.contains(index) ? declared[index] : [.plain])
        }
    }

    deinit { cavro_schema_destroy(handle) }
}

/// Why a text is no schema of a record.
public struct AvroSchemaError: Error, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The logical types of a schema's text, which libavro 1.11 does not keep.
private struct SchemaMeanings {
    /// Of types that have a name, by the whole of it.
    private var named: [String: AvroSchema.Meaning] = [:]

    /// Notes the named types, in order of appearance.
    ///
    /// - Returns: false: it is nested too deep.
    mutating func collect(_ json: Any, namespace: String?, depth: Int) -> Bool {
        guard depth < AvroSchema.maximumDepth else { return false }
        if let list = json as? [Any] {
            return list.allSatisfy { collect($0, namespace: namespace, depth: depth + 1) }
        }
        guard let type = json as? [String: Any] else { return true }
        var inner = namespace
        if let name = type["name"] as? String, type["type"] is String {
            let whole = Self.whole(name, in: type["namespace"] as? String ?? namespace)
            named[whole] = Self.meaning(type)
            inner = whole.lastIndex(of: ".").map { String(whole[..<$0]) }
        }
        return type.values.allSatisfy {
            $0 is [Any] || $0 is [String: Any] ? collect($0, namespace: inner, depth: depth + 1) : true
        }
    }

    /// Of the fields of a record, in order, and of each by its branches.
    func fields(of root: Any) -> [[AvroSchema.Meaning]] {
        guard let record = root as? [String: Any], let fields = record["fields"] as? [Any] else { return [] }
        let whole = Self.whole(record["name"] as? String ?? "", in: record["namespace"] as? String)
        let namespace = whole.lastIndex(of: ".").map { String(whole[..<$0]) }
        return fields.map { field in
            guard let type = (field as? [String: Any])?["type"] else { return [.plain] }
            return (type as? [Any] ?? [type]).map { meaning(of: $0, namespace: namespace) }
        }
    }

    private func meaning(of type: Any, namespace: String?) -> AvroSchema.Meaning {
        if let type = type as? [String: Any] {
            guard let name = type["type"] as? String, type["logicalType"] == nil else {
                return Self.meaning(type)
            }
            return meaning(of: name, namespace: namespace)
        }
        guard let name = type as? String else { return .plain }
        return named[Self.whole(name, in: namespace)] ?? .plain
    }

    private static func whole(_ name: String, in namespace: String?) -> String {
        guard let namespace, !namespace.isEmpty, !name.contains(".") else { return name }
        return "\(namespace).\(name)"
    }

    /// As Avro's specification has it: a logical type that is not known, or does not fit its type, is none.
    private static func meaning(_ type: [String: Any]) -> AvroSchema.Meaning {
        switch (type["logicalType"] as? String, type["type"] as? String) {
        case ("decimal", "bytes"), ("decimal", "fixed"):
            let scale = type["scale"] as? Int ?? 0
            return (0...1_000).contains(scale) ? .decimal(scale: scale) : .plain
        case ("timestamp-millis", "long"): return .timestamp(perSecond: 1_000, isLocal: false)
        case ("timestamp-micros", "long"): return .timestamp(perSecond: 1_000_000, isLocal: false)
        case ("timestamp-nanos", "long"): return .timestamp(perSecond: 1_000_000_000, isLocal: false)
        case ("local-timestamp-millis", "long"): return .timestamp(perSecond: 1_000, isLocal: true)
        case ("local-timestamp-micros", "long"): return .timestamp(perSecond: 1_000_000, isLocal: true)
        case ("local-timestamp-nanos", "long"): return .timestamp(perSecond: 1_000_000_000, isLocal: true)
        case ("date", "int"): return .date
        default: return .plain
        }
    }
}
