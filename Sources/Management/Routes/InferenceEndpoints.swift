import Exact
import Foundation
import Hummingbird
import Models
import Serving

/// The Open Inference Protocol (V2): the active models under names that its clients can ask for.
func inferenceEndpoints() -> [Endpoint] {
    let name = Endpoint.Parameter.path(
        "name", .text(1...300), "`global`, or `user:` and a user's id, percent-encoded.", example: "global")
    let version = Endpoint.Parameter.path(
        "version", .version, "The active version; no other is served.", example: "3")
    return serverEndpoints()
        + [("", [name]), ("/versions/{version}", [name, version])].flatMap { suffix, parameters in
            modelEndpoints(suffix: suffix, parameters: parameters)
        }
}

private func serverEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v2/health/live", name: "inferenceLive", summary: "Open Inference Protocol: alive",
            scope: nil,
            answers: [.ok("Alive", "InferenceLive")]
        ) { _, _ in try .json(["live": true]) },
        Endpoint(
            .get, "/v2/health/ready", name: "inferenceReady",
            summary: "Open Inference Protocol: whether there is a model that scores", scope: nil,
            answers: [
                .ok("Ready", "InferenceReady"),
                Endpoint.Answer(status: .serviceUnavailable, meaning: "Not ready", schema: "InferenceReady"),
            ]
        ) { _, services in
            let isReady = services.scoring != nil && services.promotion.globalTrouble == nil
            return try .json(["ready": isReady], status: isReady ? .ok : .serviceUnavailable)
        },
        Endpoint(
            .get, "/v2", name: "inferenceServer", summary: "Open Inference Protocol: what this server is",
            scope: .read, answers: [.ok("Name, version, extensions", "InferenceServer")]
        ) { _, _ in try .json(ServerView()) },
    ]
}

private func modelEndpoints(suffix: String, parameters: [Endpoint.Parameter]) -> [Endpoint] {
    let ending = suffix.isEmpty ? "" : "Version"
    let notFound = Endpoint.Answer.problem(
        .notFound, "No active model is called so, or it is not this version")
    return [
        Endpoint(
            .get, "/v2/models/{name}\(suffix)", name: "inferenceModel\(ending)",
            summary: "Open Inference Protocol: a model's inputs and outputs", scope: .read,
            parameters: parameters, answers: [.ok("Metadata", "InferenceModel"), notFound]
        ) { call, services in
            let model = try await activeModel(call, services)
            return try .json(ModelMetadata(name: call.text("name") ?? "", model: model))
        },
        Endpoint(
            .get, "/v2/models/{name}\(suffix)/ready", name: "inferenceModelReady\(ending)",
            summary: "Open Inference Protocol: whether a model can score", scope: .read,
            parameters: parameters, answers: [.ok("It can", "InferenceReady"), notFound]
        ) { call, services in
            _ = try await activeModel(call, services)
            return try .json(ReadyView(name: call.text("name") ?? "", ready: true))
        },
        Endpoint(
            .post, "/v2/models/{name}\(suffix)/infer", name: "infer\(ending)",
            summary: "Open Inference Protocol: score transactions whose fields are tensors",
            details: """
                Inputs are a transaction's fields, one value each a transaction: `transaction_id`, `user_id`, `amount`, \
                `timestamp` and what else is known; an empty text or NaN stands for missing. They are scored by the named \
                model against the windows as they stand, as `POST /v1/score` does, and nothing is changed. Outputs: `score`, \
                `threshold`, `severity`, `anomaly`, and `verdict`, the verdict's JSON with its reasons. Tensors come and go \
                as JSON or by the binary data extension.
                """,
            scope: .score, parameters: parameters,
            body: Endpoint.Body(
                schema: "InferenceRequest",
                example: [
                    "inputs": [
                        ["name": "transaction_id", "datatype": "BYTES", "shape": [1], "data": ["what-if-1"]],
                        ["name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["user-000001"]],
                        ["name": "amount", "datatype": "FP64", "shape": [1], "data": [1_250.5]],
                        [
                            "name": "timestamp", "datatype": "INT64", "shape": [1],
                            "data": [1_772_334_720_000],
                        ],
                    ]
                ]),
            answers: [
                .ok("Outputs", "InferenceAnswer"), notFound,
                .problem(.contentTooLarge, "The body has more than a mebibyte"),
            ]
        ) { call, services in
            let model = try await activeModel(call, services)
            let scoring = try scoring(services)
            let (request, tensors) = try InferenceRequest.read(
                call.body, headerLength: call.header("Inference-Header-Content-Length"))
            let messages = try InferenceRequest.messages(tensors, limit: OnDemandLimit.transactions)
            let scored = try await services.blocking {
                try scoring.score(messages, by: model) { try check($0, mayAsk: model, call) }
            }
            return try InferenceAnswer(scored).response(
                to: request, model: call.text("name") ?? "", version: model.version)
        },
        Endpoint(
            .post, "/v2/models/{name}\(suffix)/explain", name: "explain\(ending)",
            summary: "Why a model would give transactions their scores",
            details: """
                Beside the Open Inference Protocol, as KServe's explainers have it: `instances` are transactions as in the \
                stream, and there is one explanation for each. It is the verdict of `POST /v1/score`, by the named model, and \
                its reasons are there for what is no anomaly too. Nothing is changed.
                """,
            scope: .score, parameters: parameters,
            body: Endpoint.Body(
                schema: "ExplainRequest",
                example: [
                    "instances": [
                        [
                            "transaction_id": "what-if-1", "user_id": "user-000001", "amount": 1_250.5,
                            "timestamp": "2026-03-01T03:12:00Z",
                        ]
                    ]
                ]),
            answers: [
                .ok("Explanations", "ExplainAnswer"), notFound,
                .problem(.contentTooLarge, "The body has more than a mebibyte"),
            ]
        ) { call, services in
            let model = try await activeModel(call, services)
            let scoring = try scoring(services)
            let messages = try instances(call.body)
            let scored = try await services.blocking {
                try scoring.score(messages, by: model, explainsAll: true) {
                    try check($0, mayAsk: model, call)
                }
            }
            var json = JSONWriter()
            json.beginObject()
            json.field("model_name", call.text("name") ?? "")
            json.field("model_version", "\(model.version)")
            json.key("explanations")
            json.append("[")
            for (index, verdict) in verdictsOnDemand(scored).enumerated() {
                if index > 0 { json.append(",") }
                verdict.withUnsafeBufferPointer { json.append(plain: $0) }
            }
            json.append("]")
            json.endObject()
            return .json(bytes: json.bytes)
        },
    ]
}

private func check(_ userID: String, mayAsk model: ReadyModel, _ call: Call) throws {
    try call.identity?.check(userID: userID)
    if let own = model.tenant.userID, !own.utf8.elementsEqual(userID.utf8) {
        throw Problem.invalid("this model is of \(own) alone; ask global for others", field: "user_id")
    }
}

/// The transactions of `{"instances": [...]}`.
private func instances(_ body: [UInt8]) throws -> [ArraySlice<UInt8>] {
    guard let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] else {
        throw Problem(.badRequest, "invalid-json", "the body is no JSON object")
    }
    if let stranger = object.keys.filter({ $0 != "instances" }).min() {
        throw Problem.invalid("there is no such member; there is: instances", field: stranger)
    }
    guard let instances = object["instances"] as? [[String: Any]],
        (1...OnDemandLimit.transactions).contains(instances.count)
    else {
        throw Problem.invalid(
            "it is an array of 1 to \(OnDemandLimit.transactions) transactions", field: "instances")
    }
    return try JSONElements.cut(try JSONElements.member("instances", of: body)).values
}

/// The model that the path names, if it serves.
private func activeModel(_ call: Call, _ services: ManagementServices) async throws -> ReadyModel {
    let name = call.text("name") ?? ""
    guard let tenant = Tenant(name: name) else {
        throw Problem.notFound("there is no model '\(name)'; models are called global, or user: and an id")
    }
    if tenant != .global { try call.identity?.check(userID: tenant.userID) }
    let scoring = try scoring(services)
    guard let model = try await services.blocking({ try scoring.activeModel(of: tenant) }) else {
        throw Problem.notFound("\(name) has no active model that can serve")
    }
    guard let version = call.version("version"), version != model.version else { return model }
    throw Problem.notFound("version \(version) of \(name) is not active; \(model.version) is")
}

private struct ServerView: Encodable {
    let name = "ml-service"
    let version = "1"
    let extensions = ["binary_tensor_data"]
}

private struct ReadyView: Encodable {
    let name: String
    let ready: Bool
}

private struct ModelMetadata: Encodable {
    let name: String
    let versions: [String]
    let platform: String
    let inputs = InferenceModel.inputs
    let outputs = InferenceModel.outputs

    init(name: String, model: ReadyModel) {
        self.name = name
        versions = ["\(model.version)"]
        platform = "ml-service_\(model.header.detectorID)"
    }
}
