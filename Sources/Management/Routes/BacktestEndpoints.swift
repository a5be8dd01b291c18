import Foundation
import HTTPTypes
import Hummingbird
import Lake
import Models
import Training

func backtestEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .post, "/v1/models/{version}/backtest", name: "backtestModel",
            summary: "See what would change if a version of the global model served",
            details: """
                A job: `GET /v1/train/{job_id}` shows how far it is and, once it has succeeded, what it found under \
                `backtest`: the same members as `ml-service backtest --json --against active` prints, in snake case. It waits \
                its turn among the training jobs.
                """,
            scope: .train,
            parameters: [
                .path("version", .version, "The candidate, `3` or `v3`.", example: "v3"),
                .header("Idempotency-Key", .text(1...256), "The same key gives the same job."),
            ],
            body: Endpoint.Body(
                schema: "BacktestRequest", example: ["days": 7, "against": "active", "alert_cost": 5]),
            answers: [
                Endpoint.Answer(
                    status: .accepted, meaning: "The job, which waits its turn", schema: "JobAccepted"),
                .problem(.notFound, "There is no such version"),
                .problem(.conflict, "The idempotency key came with another request before"),
                .problem(.contentTooLarge, "The body has more than a mebibyte"),
            ]
        ) { call, services in
            try call.identity?.check(userID: nil)
            let body = try BacktestBody(Data(call.body))
            let (version, key) = (call.version("version") ?? 0, call.header("Idempotency-Key"))
            let submitter = call.identity?.name ?? ""
            let job = try await services.blocking {
                try services.jobs.submit(
                    try body.request(version, services), key: key, submitter: submitter)
            }
            return try .json(
                ["job_id": job.id, "state": job.state.rawValue], status: .accepted,
                headers: [.location: "/v1/train/\(job.id)"])
        }
    ]
}

/// The body of `POST /v1/models/{version}/backtest`.
struct BacktestBody {
    private struct Members: Decodable {
        /// A whole number; what is none is told from what is no number.
        let days: Double?
        let dateRange: TrainBody.DateRange?
        let against: String?
        let asOf: String?
        let alertCost: Double?
    }

    private enum Days {
        /// The last that the lake has.
        case last(Int)
        case range(LakeDay, LakeDay)
    }

    private let days: Days
    /// nil: the version that serves.
    private let against: Int?
    private let asOf: Int64?
    private let alertCost: Double

    /// - Throws: `Problem` naming the field that is missing, wrong or unknown.
    init(_ data: Data) throws {
        let body = try BodyFields.decoded(
            Members.self, data, fields: ["days", "date_range", "against", "as_of", "alert_cost"],
            members: TrainBody.DateRange.members)
        switch (body.days, body.dateRange) {
        case (let count?, nil):
            guard let count = Int(exactly: count), (1...TrainingRequest.maximumDays).contains(count) else {
                throw Problem.invalid(
                    "it is a whole number from 1 to \(TrainingRequest.maximumDays)", field: "days")
            }
            days = .last(count)
        case (nil, let range?):
            let first = try BodyFields.day(range.start, "date_range.start")
            let last = try BodyFields.day(range.end, "date_range.end")
            guard first <= last else {
                throw Problem.invalid("its start \(first) is after its end \(last)", field: "date_range")
            }
            guard first.distance(to: last) < TrainingRequest.maximumDays else {
                throw Problem.invalid(
                    "at most \(TrainingRequest.maximumDays) days are allowed", field: "date_range")
            }
            days = .range(first, last)
        case (nil, nil):
            throw Problem.invalid(
                "it is missing: the last days of the lake, so many; or name a date_range", field: "days")
        case (_?, _?): throw Problem.invalid("it cannot go with date_range", field: "days")
        }
        let name = body.against ?? "active"
        against = name == "active" ? nil : Call.version(name)
        guard name == "active" || against != nil else {
            throw Problem.invalid("'\(name)' is no version; write v3, or active", field: "against")
        }
        asOf = try body.asOf.map { try BodyFields.moment($0, "as_of") }
        alertCost = body.alertCost ?? 0
        guard alertCost.isFinite, alertCost >= 0 else {
            throw Problem.invalid("it is 0 or more", field: "alert_cost")
        }
    }

    /// Blocks: it asks the stores whether versions and days are there.
    ///
    /// - Throws: `Problem` naming what is not.
    func request(_ version: Int, _ services: ManagementServices) throws -> TrainingRequest {
        guard try services.models.header(of: .global, version: version) != nil else {
            throw Problem(
                .notFound, "not-found", "there is no version v\(version) of the global model",
                field: "version")
        }
        if let against {
            guard try services.models.header(of: .global, version: against) != nil else {
                throw Problem.invalid("there is no version v\(against)", field: "against")
            }
        } else if try services.catalogue.active(.global) == nil {
            throw Problem.invalid(
                "no version of the global model serves; name one to compare with", field: "against")
        }
        let (first, last) = try span(services)
        return TrainingRequest(
            BacktestRequest(version: version, against: against, alertCost: alertCost), from: first, to: last,
            asOfMilliseconds: asOf)
    }

    private func span(_ services: ManagementServices) throws -> (LakeDay, LakeDay) {
        switch days {
        case .range(let first, let last): return (first, last)
        case .last(let count):
            guard let last = try services.labelled.lastDay() else {
                throw Problem.invalid("the lake has no days", field: "days")
            }
            return (last.adding(days: 1 - count), last)
        }
    }
}
