import Exact
import Foundation
import Lake
import Transactions

/// Reads JSON bodies, and names the field that is missing, wrong or unknown.
enum BodyFields {
    /// - Parameters:
    ///   - data: JSON, its names in snake case.
    ///   - fields: All that the body may have.
    ///   - members: All that a field may have which is an object, by the field's name; of others any.
    /// - Throws: `Problem`.
    static func decoded<Value: Decodable>(
        _ type: Value.Type, _ data: Data, fields: Set<String>, members: [String: Set<String>] = [:]
    ) throws -> Value {
        guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw Problem(.badRequest, "invalid-json", "the body must be a JSON object")
        }
        try refuseRepeated(data)
        try refuseStrangers(object, fields)
        for (name, known) in members {
            if let inner = object[name] as? [String: Any] {
                try refuseStrangers(inner, known, of: name + ".")
            }
        }
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(type, from: data)
        } catch DecodingError.keyNotFound(let key, let context) {
            throw Problem.invalid("it is missing", field: path(context.codingPath + [key]))
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context)
        {
            throw Problem.invalid("it has the wrong type", field: path(context.codingPath))
        }
    }

    private static func refuseStrangers(
        _ object: [String: Any], _ known: Set<String>, of path: String = ""
    ) throws {
        guard let stranger = object.keys.filter({ !known.contains($0) }).min() else { return }
        throw Problem.invalid(
            "there is no such field; there are \(known.sorted().joined(separator: ", "))",
            field: path + stranger)
    }

    /// - Parameter data: Sound JSON.
    /// - Throws: `Problem` 422.
    static func refuseRepeated(_ data: Data) throws {
        guard let name = RepeatedNames.first(in: data)?.name else { return }
        throw Problem.invalid("it is given twice", field: name)
    }

    /// `UInt64` that says which field it is where it is none: the decoder's own error does not.
    struct WholeNumber: Decodable {
        let value: UInt64

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            guard let value = try? container.decode(UInt64.self) else {
                throw Problem.invalid(
                    "it is a whole number from 0 to \(UInt64.max)", field: path(container.codingPath))
            }
            self.value = value
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.map { key in
            // As the caller wrote them.
            key.stringValue.map { $0.isUppercase ? "_\($0.lowercased())" : "\($0)" }.joined()
        }.joined(separator: ".")
    }

    /// A day's first moment, or a moment. Milliseconds since 1970 UTC.
    static func moment(_ text: String, _ field: String) throws -> Int64 {
        guard let moment = LakeDay(parsing: text)?.startMilliseconds ?? TimeText.milliseconds(text) else {
            throw Problem.invalid(
                "'\(text)' is no moment; write 2026-01-31 or 2026-01-31T12:00:00Z", field: field)
        }
        return moment
    }

    static func day(_ text: String, _ field: String) throws -> LakeDay {
        guard let day = LakeDay(parsing: text) else {
            throw Problem.invalid("'\(text)' is no day; write 2026-01-31", field: field)
        }
        return day
    }
}
