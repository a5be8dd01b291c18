import Foundation
import Hummingbird
import Training

func trainingEndpoints() -> [Endpoint] {
    let jobID = Endpoint.Parameter.path("job_id", .text(1...64), "As `POST /v1/train` gave it.")
    return [
        Endpoint(
            .post, "/v1/train", name: "train", summary: "Train a model",
            details: "With the same `Idempotency-Key` the same job answers, however often it is sent.",
            scope: .train,
            parameters: [
                .header("Idempotency-Key", .text(1...256), "The same key gives the same job.")
            ],
            body: Endpoint.Body(
                schema: "TrainRequest",
                example: [
                    "date_range": ["start": "2026-01-01", "end": "2026-02-14"], "promote": true,
                ]),
            answers: [
                Endpoint.Answer(
                    status: .accepted, meaning: "The job, which waits its turn", schema: "JobAccepted"),
                .problem(.conflict, "The idempotency key came with another request before"),
                .problem(.contentTooLarge, "The body has more than a mebibyte"),
            ]
        ) { call, services in
            let training = try TrainBody.request(Data(call.body))
            try call.identity?.check(userID: training.userID)
            if services.promotionIdentities > 1, training.promotion == .auto {
                throw Problem.invalid(
                    "a promotion takes two identities here: gated or manual", field: "promotion")
            }
            try training.check(services.registry)
            let key = call.header("Idempotency-Key")
            let submitter = call.identity?.name ?? ""
            let job = try await services.blocking {
                try services.jobs.submit(training, key: key, submitter: submitter)
            }
            return try .json(
                ["job_id": job.id, "state": job.state.rawValue], status: .accepted,
                headers: [.location: "/v1/train/\(job.id)"])
        },
        Endpoint(
            .get, "/v1/train", name: "jobs", summary: "Training jobs, newest first",
            details: """
                Where there are more than `limit`, the header `Link` names the next page (`rel="next"`). A key that is for \
                some users only sees their jobs.
                """,
            scope: .read,
            parameters: [
                .query("limit", .integer(1...1_000), "Jobs at most; without it: 100.", example: 20),
                .query("cursor", .text(1...64), "Only jobs older than this one; its `job_id`."),
            ],
            answers: [.list("Jobs", of: "Job")]
        ) { call, services in
            let limit = call.integer("limit") ?? 100
            let jobs = try await services.blocking { try newestJobs(call, limit + 1, services) }
            return try .page(jobs, limit: limit, "/v1/train", call, { JobView($0) }, cursor: \.id)
        },
        Endpoint(
            .get, "/v1/train/{job_id}", name: "job",
            summary: "A job: state, stage, progress, metrics, what a backtest found, error", scope: .read,
            parameters: [jobID],
            answers: [.ok("The job", "Job"), .problem(.notFound, "There is no such job")]
        ) { call, services in
            try .json(JobView(try await job(call, services), showsBacktest: true))
        },
        Endpoint(
            .delete, "/v1/train/{job_id}", name: "cancelJob",
            summary: "Cancel a job; one that has ended stays as it is", scope: .train, parameters: [jobID],
            answers: [
                Endpoint.Answer(status: .noContent, meaning: "It will not go on", schema: nil),
                .problem(.notFound, "There is no such job"),
            ]
        ) { call, services in
            let id = try await job(call, services).id
            try await services.blocking { try services.jobs.cancel(id: id) }
            return Response(status: .noContent)
        },
    ]
}

private func job(_ call: Call, _ services: ManagementServices) async throws -> TrainingJob {
    let id = call.text("job_id") ?? ""
    // A job of others is not there for a key that is for some users.
    guard let job = try await services.blocking({ try services.jobs.job(id: id) }), call.maySee(job) else {
        throw Problem.notFound("there is no training job \(id)")
    }
    return job
}

/// The newest that the caller may see, older than `cursor`.
private func newestJobs(_ call: Call, _ limit: Int, _ services: ManagementServices) throws -> [TrainingJob] {
    var cursor = call.text("cursor")
    if let cursor, try services.jobs.job(id: cursor) == nil {
        throw Problem.invalid("there is no training job \(cursor)", field: "cursor")
    }
    var found: [TrainingJob] = []
    while found.count < limit {
        let page = try services.jobs.jobs(limit: limit, before: cursor)
        found += page.filter(call.maySee).prefix(limit - found.count)
        guard page.count == limit, call.identity?.tenantPrefix != nil else { break }
        cursor = page.last?.id
    }
    return found
}

extension Call {
    /// What a backtest found names transactions of all users.
    fileprivate func maySee(_ job: TrainingJob) -> Bool {
        guard let identity else { return true }
        return (try? identity.check(userID: job.request.backtest == nil ? job.request.userID : nil)) != nil
    }
}

/// A job as the API shows it.
struct JobView: Encodable {
    struct Model: Encodable {
        let tenant: String
        let version: String
        let promoted: Bool
    }

    let jobId: String
    /// `train` or `backtest`.
    let kind: String
    let state: String
    let stage: String?
    let progress: Double
    let attempts: Int
    let userId: String?
    let allUsers: Bool
    /// Of a backtest the candidate's, once it is known.
    let detector: String?
    /// The version that it made current, of a job for one tenant.
    let version: String?
    let models: [Model]?
    /// How many; a job for all users shows the first hundred.
    let modelCount: Int?
    let metrics: [String: Double]?
    /// What was in the lake and not used, and why.
    let notes: [String]?
    /// What `auto` chose from, and by what the model was let through to serving, or not.
    let candidates: [CandidateView]?
    let gate: [GateView]?
    /// Of a job that is asked for alone.
    let backtest: BacktestComparison?
    let error: String?
    let createdMs: Int64
    let finishedMs: Int64?

    init(_ job: TrainingJob, showsBacktest: Bool = false) {
        let isBacktest = job.request.backtest != nil
        jobId = job.id
        kind = isBacktest ? "backtest" : "train"
        state = job.state.rawValue
        stage = job.stage?.rawValue
        progress = job.state == .succeeded ? 1 : job.progress
        attempts = job.attempts
        userId = job.request.userID
        allUsers = job.request.allUsers
        detector = job.outcome?.detector ?? (isBacktest ? nil : job.request.detectorID)
        candidates = job.outcome?.candidates?.map(CandidateView.init)
        gate = job.outcome?.gate?.map(GateView.init)
        let made = job.outcome?.models ?? []
        version =
            !allUsers && made.count == 1 && made.first?.isPromoted == true
            ? made.first.map { "v\($0.version)" } : nil
        models = job.outcome?.models.prefix(100).map {
            Model(tenant: $0.tenant, version: "v\($0.version)", promoted: $0.isPromoted)
        }
        modelCount = job.outcome?.models.count
        metrics = job.outcome.map { $0.metrics.merging($0.reading?.metrics ?? [:]) { own, _ in own } }
        notes = job.outcome?.notes
        backtest = showsBacktest ? job.outcome?.backtest : nil
        error = job.error
        createdMs = job.createdMilliseconds
        finishedMs = job.finishedMilliseconds
    }
}
