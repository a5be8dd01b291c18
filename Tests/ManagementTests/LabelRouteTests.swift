import Foundation
import Lake
import Outcomes
import Testing
import Training

@testable import Management

/// Labels that come by HTTP.
@Suite struct LabelRouteTests {
    private let key = "X-Admin-Key: \(TestAPI.key)"

    private func post(_ api: TestAPI, _ body: String) async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking { [key] in
                try api.connect().request("POST", "/v1/labels", headers: [key], body: body)
            })
    }

    @Test func labelsAreCountedAndTwiceIsOnce() async throws {
        let api = try await TestAPI()
        let one = #"{"transaction_id":"t-1","label":"fraud","known_at":"2026-02-03T09:00:00Z"}"#
        var answer = try await post(api, one)
        #expect(answer.status == "200" && answer.count("new") == 1 && answer.count("received") == 1)
        answer = try await post(api, one)
        #expect(answer.count("new") == 0 && answer.count("repeated") == 1)
        answer = try await post(
            api,
            #"""
            [{"transaction_id":"t-1","label":"genuine","known_at":"2026-02-04T09:00:00Z","source":"analyst"},
             {"transaction_id":"t-1","label":"fraud","known_at":"2026-02-03T10:00:00Z"},
             {"transaction_id":"never seen","label":"fraud","known_at":1770109200000}]
            """#)
        #expect(answer.status == "200", "\(answer.json)")
        #expect(answer.count("changed") == 1 && answer.count("conflicting") == 1 && answer.count("new") == 1)
        answer = try await post(api, "[]")
        #expect(answer.status == "200" && answer.count("received") == 0)
        let files = try api.lake.listAll(prefix: "labels/").map(\.key)
        #expect(
            Set(files.map { $0.split(separator: "/")[1...3].joined(separator: "-") }) == [
                "2026-02-03", "2026-02-04",
            ])
    }

    @Test(
        arguments: [
            (#"{"transaction_id":"a","label":"fraud"}"#, "422", "known_at"),
            (#"{"transaction_id":"a","label":"maybe","known_at":1770109200000}"#, "422", "label"),
            (#"{"transaction_id":"a","label":"fraud","known_at":"2199-01-01T00:00:00Z"}"#, "422", "known_at"),
            (
                #"[{"transaction_id":"a","label":"fraud","known_at":1770109200000},{"transaction_id":"","label":"fraud","known_at":1770109200000}]"#,
                "422", "labels[1].transaction_id"
            ),
            (#"[{"transaction_id":"a","label":"fraud","known_at":1770109200000},7]"#, "422", "labels[1]"),
            (#"[{"transaction_id":"a""#, "400", nil), ("", "400", nil), ("7", "422", nil),
        ] as [(String, String, String?)])
    func badOnesAreRefusedByIndexAndFieldAndNoneIsTaken(body: String, status: String, field: String?)
        async throws
    {
        let api = try await TestAPI()
        let answer = try await post(api, body)
        #expect(answer.status == status, "\(answer.json)")
        #expect(answer.json["field"] as? String == field, "\(answer.json)")
        #expect(try api.lake.listAll(prefix: "labels/").isEmpty)
    }

    @Test func tooManyAtOnceAreRefused() async throws {
        let api = try await TestAPI()
        func labels(_ count: Int) -> String {
            "["
                + (0..<count).map {
                    #"{"transaction_id":"t\#($0)","label":"genuine","known_at":1770109200000}"#
                }.joined(separator: ",") + "]"
        }
        var answer = try await post(api, labels(10_001))
        #expect(answer.status == "422" && "\(answer.json)".contains("at most 10000"), "\(answer.json)")
        answer = try await post(api, labels(10_000))
        #expect(answer.status == "200" && answer.count("new") == 10_000, "\(answer.json)")
        answer = try await post(api, String(repeating: " ", count: 9 << 20))
        #expect(answer.status == "413", "\(answer.json)")
    }

    @Test func aKeyIsNeeded() async throws {
        let api = try await TestAPI()
        let body = #"{"transaction_id":"a","label":"fraud","known_at":1770109200000}"#
        let answer = try await blocking { try api.connect().request("POST", "/v1/labels", body: body) }
        #expect(answer.hasPrefix("HTTP/1.1 401"), "\(answer)")
    }

    @Test func aUsersLabelsAreListedNewestFirst() async throws {
        let api = try await TestAPI()
        let day = try #require(LakeDay(parsing: "2026-02-02"))
        let writer = try ParquetWriter(columns: [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text, isSearched: true),
            ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
            ParquetColumn("is_fraud", .boolean, isNullable: true),
        ])
        try writer.append([
            .text(TextColumn(["a", "b", "c", "d"])), .text(TextColumn(["u/1", "u/1", "u/1", "u/2"])),
            .real([1, 2, 3, 4]),
            .timestampMilliseconds((0..<4).map { day.startMilliseconds + Int64($0) * 1_000 }),
            .boolean(NullableColumn([nil, nil, true, nil] as [Bool?], nullAs: false)),
        ])
        try api.lake.put("processed/\(day.path)/part-0.parquet", try writer.finish(), if: .always)
        _ = try await post(
            api,
            #"""
            [{"transaction_id":"a","label":"fraud","known_at":"2026-02-03T09:00:00Z","source":"chargeback"},
             {"transaction_id":"d","label":"fraud","known_at":"2026-02-03T09:00:00Z"}]
            """#)
        func list(_ query: String) async throws -> String {
            try await blocking { [key] in
                try api.connect().request("GET", "/v1/users/u%2F1/labels\(query)", headers: [key])
            }
        }
        let all = try await list("")
        let body = all.components(separatedBy: "\r\n\r\n").last ?? ""
        #expect(
            body == """
                [{"known_at":"2026-02-02T00:00:02.000Z","label":"fraud","source":"transaction",\
                "timestamp":"2026-02-02T00:00:02.000Z","transaction_id":"c"},\
                {"known_at":"2026-02-03T09:00:00.000Z","label":"fraud","source":"chargeback",\
                "timestamp":"2026-02-02T00:00:00.000Z","transaction_id":"a"}]
                """)
        #expect(try await list("?limit=1").hasSuffix("\"transaction_id\":\"c\"}]"))
        #expect(
            try await list("?from=2026-02-03").hasSuffix(
                "\"field\":\"from\",\"status\":422,\"title\":\"Unprocessable Content\",\"type\":\"urn:ml-service:problem:invalid-request\"}"
            ))
        #expect(try await list("?from=2026-02-03&to=2026-03-01").hasSuffix("[]"))
        #expect(try await list("?from=yesterday").contains("\"field\":\"from\""))

        try api.lake.put("processed/\(day.path)/part-1.parquet", Array("PAR1 no more".utf8), if: .always)
        let damaged = try await list("")
        #expect(damaged.hasPrefix("HTTP/1.1 500"))
        #expect(damaged.contains("lake-damaged") && damaged.contains("part-1.parquet"))
        let skipping = LabelledTransactions(lake: api.lake, book: LabelBook(lake: api.lake), badFiles: .skip)
        #expect(try skipping.of(user: "u/1", from: nil, to: nil, limit: 10).count == 2)
    }

    @Test func aJobRemembersAsOfWhichMomentItLearns() async throws {
        let api = try await TestAPI()
        func train(_ more: String) async throws -> JSONAnswer {
            let body = #"{"date_range":{"start":"2026-01-01","end":"2026-02-14"}\#(more)}"#
            return JSONAnswer(
                try await blocking { [key] in
                    try api.connect().request("POST", "/v1/train", headers: [key], body: body)
                })
        }
        let answer = try await train(
            #","as_of":"2026-02-15","leave_out":["references"],"detector":"auto""#)
        #expect(answer.status == "202" || answer.json["field"] as? String == "detector", "\(answer.json)")
        #expect(try await train(#","as_of":"soon""#).json["field"] as? String == "as_of")
    }
}

extension JSONAnswer {
    fileprivate func count(_ name: String) -> Int? { json[name] as? Int }
}
