import Foundation
import Testing

@testable import Management

/// What is said of the API is what it does.
@Suite struct DocumentationTests {
    @Test func docsSayWhatTheDeclarationsSay() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let written = try String(contentsOf: root.appending(path: "docs/api.md"), encoding: .utf8)
        #expect(written == apiDocumentation(), "write it anew: ml-service api > docs/api.md")
    }

    @Test func everyRouteIsDescribedAndAnswersAsDescribed() async throws {
        let api = try await TestAPI()
        let endpoints = allEndpoints()
        let answer = try await blocking { try api.connect().request("GET", "/openapi.json") }
        let body = Data((answer.components(separatedBy: "\r\n\r\n").last ?? "").utf8)
        let document = try #require(try JSONSerialization.jsonObject(with: body) as? [String: Any])
        let paths = try #require(document["paths"] as? [String: [String: Any]])
        #expect(paths.values.reduce(0) { $0 + $1.count } == endpoints.count)
        #expect(Set(endpoints.map(\.name)).count == endpoints.count)
        for endpoint in endpoints {
            let operation = paths[endpoint.path]?[endpoint.method.rawValue.lowercased()] as? [String: Any]
            let responses = try #require(operation?["responses"] as? [String: Any], "\(endpoint.path)")
            // Its answer does not end.
            guard endpoint.name != "events" else { continue }
            // Asked as the examples say, without a key where one is needed.
            let target = endpoint.segments.map { $0.hasPrefix("{") ? "v1" : $0 }.joined(separator: "/")
            let got = try await blocking { try api.connect().request(endpoint.method.rawValue, "/\(target)") }
            let status = String(got.dropFirst(9).prefix(3))
            #expect(responses[status] != nil, "\(endpoint.method) /\(target) gave \(got)")
            for parameter in endpoint.parameters where parameter.place == .path {
                #expect(endpoint.path.contains("{\(parameter.name)}"))
            }
        }
    }

    @Test func everySchemaThatIsNamedIsThere() throws {
        for endpoint in allEndpoints() {
            let names =
                (endpoint.answers + commonProblems).compactMap(\.schema)
                + [endpoint.body?.schema].compactMap { $0 }
            for name in names { #expect(Schemas.all[name] != nil, "\(name)") }
        }
    }
}
