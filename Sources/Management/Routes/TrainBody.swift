import Foundation
import Hummingbird
import Training

/// The body of `POST /v1/train`.
struct TrainBody: Decodable {
    struct DateRange: Decodable {
        let start: String
        let end: String

        static let members: [String: Set<String>] = ["date_range": ["start", "end"]]
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
    let seed: BodyFields.WholeNumber?
    let asOf: String?
    let leaveOut: [String]?
    let promote: Bool?
    let promotion: String?

    /// - Throws: `Problem` naming the field that is missing, wrong or unknown.
    static func request(_ data: Data) throws -> TrainingRequest {
        let body = try BodyFields.decoded(
            TrainBody.self, data,
            fields: [
                "user_id", "all_users", "date_range", "detector", "parameters", "contamination", "encoding",
                "seed", "promote", "promotion", "as_of", "leave_out",
            ], members: DateRange.members)
        let encoding: TrainingRequest.Encoding?
        do {
            encoding = try body.encoding.map(TrainingRequest.encoding)
        } catch TrainingError.invalidRequest(let field, let reason) {
            throw Problem.invalid(reason, field: field)
        }
        return TrainingRequest(
            userID: body.userId, allUsers: body.allUsers ?? false,
            from: try BodyFields.day(body.dateRange.start, "date_range.start"),
            to: try BodyFields.day(body.dateRange.end, "date_range.end"),
            detectorID: body.detector ?? TrainingRequest.defaultDetector,
            parameters: (body.parameters ?? [:]).mapValues(\.text), seed: body.seed?.value ?? 0,
            contamination: body.contamination ?? 0.01, encoding: encoding,
            asOfMilliseconds: try body.asOf.map { try BodyFields.moment($0, "as_of") },
            leftOut: body.leaveOut,
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
}
