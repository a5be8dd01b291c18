import Exact
import Foundation
import Hummingbird
import Lake
import Training

/// The body of `POST /v1/train`.
struct TrainBody: Decodable {
    struct DateRange: Decodable {
        let start: String
        let end: String
    }

    enum Value: Decodable {
        case text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .text("\(flag)")
            } else if let whole = try? container.decode(Int.self) {
                self = .text("\(whole)")
            } else if let number = try? container.decode(Double.self) {
                self = .text("\(number)")
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        var text: String {
            switch self {
            case .text(let text): text
            }
        }
    }

    let userId: String?
    let allUsers: Bool?
    let dateRange: DateRange
    let detector: String?
    let parameters: [String: Value]?
    let contamination: Double?
    let encoding: String?
    let seed: UInt64?
    let asOf: String?
    let leaveOut: [String]?
    let promote: Bool?
    let promotion: String?

    /// - Throws: `Problem` naming the field that is missing, wrong or unknown.
    static func request(_ data: Data) throws -> TrainingRequest {
        guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw Problem(.badRequest, "invalid-json", "the body must be a JSON object")
        }
        let known: Set = [
            "user_id", "all_users", "date_range", "detector", "parameters", "contamination", "encoding",
            "seed", "promote", "promotion", "as_of", "leave_out",
        ]
        if let stranger = object.keys.filter({ !known.contains($0) }).min() {
            throw Problem.invalid(
                "there is no such field; there are \(known.sorted().joined(separator: ", "))", field: stranger
            )
        }
        let body: TrainBody
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            body = try decoder.decode(TrainBody.self, from: data)
        } catch DecodingError.keyNotFound(let key, let context) {
            throw Problem.invalid("it is missing", field: path(context.codingPath + [key]))
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context)
        {
            throw Problem.invalid("it has the wrong type", field: path(context.codingPath))
        }
        let encoding: TrainingRequest.Encoding?
        do {
            encoding = try body.encoding.map(TrainingRequest.encoding)
        } catch TrainingError.invalidRequest(let field, let reason) {
            throw Problem.invalid(reason, field: field)
        }
        return TrainingRequest(
            userID: body.userId, allUsers: body.allUsers ?? false,
            from: try day(body.dateRange.start, "date_range.start"),
            to: try day(body.dateRange.end, "date_range.end"),
            detectorID: body.detector ?? TrainingRequest.defaultDetector,
            parameters: (body.parameters ?? [:]).mapValues(\.text), seed: body.seed ?? 0,
            contamination: body.contamination ?? 0.01, encoding: encoding,
            asOfMilliseconds: try body.asOf.map { try moment($0, "as_of") }, leftOut: body.leaveOut,
            promotion: try promotion(body.promotion, promote: body.promote))
    }

    /// By the gate, unless the body says otherwise.
    private static func promotion(
        _ name: String?, promote: Bool?
    ) throws -> TrainingRequest.Promotion {
        guard let name else { return promote == false ? .manual : .gated }
        guard let promotion = TrainingRequest.Promotion(rawValue: name) else {
            let known = TrainingRequest.Promotion.allCases.map(\.rawValue).joined(separator: ", ")
            throw Problem.invalid("there is no '\(name)'; there are: \(known)", field: "promotion")
        }
        guard promote == nil || (promote == true) == (promotion != .manual) else {
            throw Problem.invalid("it contradicts promote; leave that out", field: "promotion")
        }
        return promotion
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.map { key in
            // As the caller wrote them.
            key.stringValue.map { $0.isUppercase ? "_\($0.lowercased())" : "\($0)" }.joined()
        }.joined(separator: ".")
    }

    /// A day's first moment, or a moment.
    private static func moment(_ text: String, _ field: String) throws -> Int64 {
        guard let moment = LakeDay(parsing: text)?.startMilliseconds ?? TimeText.milliseconds(text) else {
            throw Problem.invalid(
                "'\(text)' is no moment; write 2026-01-31 or 2026-01-31T12:00:00Z", field: field)
        }
        return moment
    }

    private static func day(_ text: String, _ field: String) throws -> LakeDay {
        guard let day = LakeDay(parsing: text) else {
            throw Problem.invalid("'\(text)' is no day; write 2026-01-31", field: field)
        }
        return day
    }
}
