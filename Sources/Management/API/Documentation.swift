import Foundation
import HTTPTypes

/// The endpoints' declarations, written for machines and for people.
enum Documentation {
    // MARK: OpenAPI

    /// OpenAPI 3.1, JSON with sorted names.
    static func openAPI(_ endpoints: [Endpoint]) -> [UInt8] {
        var paths: [String: JSONValue] = [:]
        for (path, group) in Dictionary(grouping: endpoints, by: \.path) {
            paths[path] = .object(
                Dictionary(group.map { ($0.method.rawValue.lowercased(), operation($0)) }) { $1 })
        }
        let document: JSONValue = [
            "openapi": "3.1.0",
            "info": [
                "title": "ml-service", "version": "1",
                "description":
                    "Trains, lists and promotes the models that score a stream of financial transactions.",
                "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
            ],
            "servers": [["url": "/"]],
            "components": [
                "securitySchemes": [
                    "key": [
                        "type": "http", "scheme": "bearer", "description": "Also accepted as `X-Admin-Key`.",
                    ]
                ],
                "schemas": .object(Schemas.all),
            ],
            "paths": .object(paths),
        ]
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return [UInt8]((try? encoder.encode(document)) ?? Data())
    }

    private static func operation(_ endpoint: Endpoint) -> JSONValue {
        var operation: [String: JSONValue] = [
            "operationId": .text(endpoint.name), "summary": .text(endpoint.summary),
            "parameters": .array(endpoint.parameters.map(parameter)),
        ]
        if !endpoint.details.isEmpty { operation["description"] = .text(endpoint.details) }
        if let scope = endpoint.scope {
            // Reading may be open: then no key is one of the ways.
            let key: JSONValue = ["key": [.text(scope.rawValue)]]
            operation["security"] = scope == .read ? [key, [:]] : [key]
        }
        if let body = endpoint.body {
            operation["requestBody"] = [
                "required": true,
                "content": [
                    "application/json": ["schema": reference(body.schema), "example": body.example]
                ],
            ]
        }
        var answers: [String: JSONValue] = [:]
        for answer in endpoint.answers + problems(of: endpoint) {
            answers["\(answer.status.code)"] = answers["\(answer.status.code)"] ?? response(answer)
        }
        operation["responses"] = .object(answers)
        return .object(operation)
    }

    /// Of the problems that any route may have, those that this one can.
    private static func problems(of endpoint: Endpoint) -> [Endpoint.Answer] {
        commonProblems.filter { problem in
            switch problem.status {
            case .unauthorized, .forbidden, .tooManyRequests: endpoint.scope != nil
            case .unsupportedMediaType: endpoint.body != nil
            default: true
            }
        }
    }

    private static func parameter(_ parameter: Endpoint.Parameter) -> JSONValue {
        var members: [String: JSONValue] = [
            "name": .text(parameter.name), "in": .text(parameter.place.rawValue),
            "description": .text(parameter.meaning), "required": .flag(parameter.place == .path),
            "schema": schema(parameter.kind),
        ]
        if let example = parameter.example { members["example"] = example }
        return .object(members)
    }

    private static func schema(_ kind: Endpoint.Parameter.Kind) -> JSONValue {
        switch kind {
        case .text(let range):
            [
                "type": "string", "minLength": .integer(range.lowerBound),
                "maxLength": .integer(range.upperBound),
            ]
        case .integer(let range):
            ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)]
        case .choice(let choices): ["type": "string", "enum": .array(choices.map { .text($0) })]
        case .day: ["type": "string", "format": "date"]
        case .version: ["type": "string", "pattern": "^v?[1-9][0-9]{0,8}$"]
        case .versionName:
            ["type": "string", "pattern": "^(v?[1-9][0-9]{0,8}|champion|challenger|previous)$"]
        }
    }

    private static func response(_ answer: Endpoint.Answer) -> JSONValue {
        var members: [String: JSONValue] = ["description": .text(answer.meaning)]
        if let name = answer.schema {
            let schema: JSONValue =
                answer.isArray ? ["type": "array", "items": reference(name)] : reference(name)
            members["content"] = [answer.contentType: ["schema": schema]]
        } else if answer.status != .noContent {
            members["content"] = [answer.contentType: ["schema": ["type": "string"]]]
        }
        return .object(members)
    }

    private static func reference(_ name: String) -> JSONValue {
        ["$ref": .text("#/components/schemas/\(name)")]
    }

    // MARK: Markdown

    static func markdown(_ endpoints: [Endpoint]) -> String {
        var text = """
            # HTTP API

            Written from the declarations in `Sources/Management/Routes` by `ml-service api`; a test holds it to them. The same
            as OpenAPI 3.1 is served at `/openapi.json`.

            Keys come as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`. The scope that a key needs stands with each route;
            the admin key has all. Reading needs no key on a service that listens on this machine alone, see `http.publicread`.
            A query parameter that a route does not know is refused (422), a method that it does not know is 405 with `Allow`,
            `HEAD` answers as `GET` does, without the body.

            Errors are `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, and `field` where one is at
            fault. 4xx is the caller's fault, 5xx ours; 429 and 503 say in `Retry-After` when to come again.

            | route | scope | what |
            |---|---|---|

            """
        for endpoint in endpoints {
            text +=
                "| `\(endpoint.method.rawValue) \(endpoint.path)` | \(scope(endpoint)) | \(endpoint.summary) |\n"
        }
        for endpoint in endpoints { text += section(endpoint) }
        return text
    }

    private static func scope(_ endpoint: Endpoint) -> String { endpoint.scope?.rawValue ?? "none" }

    private static func section(_ endpoint: Endpoint) -> String {
        var text = "\n## \(endpoint.method.rawValue) \(endpoint.path)\n\n\(endpoint.summary).\n"
        if !endpoint.details.isEmpty { text += "\n\(endpoint.details)\n" }
        if !endpoint.parameters.isEmpty {
            text += "\n| parameter | in | what |\n|---|---|---|\n"
            for parameter in endpoint.parameters {
                text += "| `\(parameter.name)` | \(parameter.place.rawValue) | \(parameter.meaning) "
                text += "\(words(parameter.kind)) |\n"
            }
        }
        if let body = endpoint.body {
            text += "\nBody (`\(body.schema)`), for example:\n\n```json\n\(json(body.example))\n```\n"
        }
        text += "\n| status | what |\n|---|---|\n"
        for answer in endpoint.answers {
            let schema = answer.schema.map { " (`\($0)`\(answer.isArray ? ", an array" : ""))" } ?? ""
            text += "| \(answer.status.code) | \(answer.meaning)\(schema) |\n"
        }
        return text
    }

    private static func words(_ kind: Endpoint.Parameter.Kind) -> String {
        switch kind {
        case .text(let range): "Text of \(range.lowerBound) to \(range.upperBound) bytes."
        case .integer(let range): "A whole number from \(range.lowerBound) to \(range.upperBound)."
        case .choice(let choices): "One of \(choices.joined(separator: ", "))."
        case .day: "A day, 2026-01-31."
        case .version: "A version."
        case .versionName: "A version, or what it is."
        }
    }

    private static func json(_ value: JSONValue) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return String(decoding: (try? encoder.encode(value)) ?? Data(), as: UTF8.self)
    }
}
