import Features
import Foundation
import Lake
import Testing

@testable import Management

/// What is told of a user.
@Suite struct UserRouteTests {
    private static let last: Int64 = 1_771_068_600_000

    private func access(_ windows: [String: UserWindow]) -> WindowAccess {
        WindowAccess(
            location: "test",
            look: { user in
                user == "damaged" ? .damaged("cut off") : windows[user].map { .window($0) } ?? .none
            }, remove: { _ in WindowAccess.Removal(removed: 0) })
    }

    private func user(_ api: TestAPI, _ name: String) async throws -> JSONAnswer {
        JSONAnswer(try await blocking { try api.connect().request("GET", "/v1/users/\(name)") })
    }

    @Test func theWindowIsTold() async throws {
        var window = UserWindow()
        for (hours, amount) in [(100, 30.0), (2, 12), (0, 18)] {
            window.fold(
                WindowEvent(
                    timestampMilliseconds: Self.last - Int64(hours) * 3_600_000, amount: amount,
                    merchant: 7 << 32))
        }
        let api = try await TestAPI(windows: access(["u": window]))
        let answer = try await user(api, "u")
        #expect(answer.status == "200" && answer.json["has_window"] as? Bool == true, "\(answer.json)")
        let told = try #require(answer.json["window"] as? [String: Any], "\(answer.json)")
        func span(_ name: String) -> [String: Double] { told[name] as? [String: Double] ?? [:] }
        #expect(span("last_hour") == ["count": 1, "sum": 18, "mean": 18])
        #expect(span("last_day") == ["count": 2, "sum": 30, "mean": 15])
        #expect(span("last_week") == ["count": 3, "sum": 60, "mean": 20])
        #expect(span("last_30_days") == ["count": 3, "sum": 60, "mean": 20])
        #expect(told["last_event"] as? String == "2026-02-14T11:30:00.000Z")
        #expect(told["usual_amount"] as? Double == 20)
        #expect(told["seen"] as? [String: Int] == ["merchants": 1, "countries": 0, "devices": 0])
        #expect(
            (told["sentences"] as? [String])?.first
                == "3 payments in the last 30 days, 20.00 on average; the last one at 2026-02-14T11:30:00.000Z"
        )
        // All that is told is declared.
        let schema = try JSONSerialization.jsonObject(with: JSONEncoder().encode(Schemas.all["User"]))
        let properties = (schema as? [String: Any])?["properties"] as? [String: [String: Any]] ?? [:]
        #expect(Set(answer.json.keys).isSubset(of: properties.keys), "\(answer.json.keys)")
        let declared = properties["window"]?["properties"] as? [String: Any] ?? [:]
        #expect(Set(told.keys) == Set(declared.keys), "\(told.keys)")
    }

    @Test func whereThereIsNoWindowItIsNull() async throws {
        let api = try await TestAPI(windows: access([:]))
        for (name, isThere) in [("nobody", false), ("damaged", true)] {
            let answer = try await user(api, name)
            #expect(answer.json["has_window"] as? Bool == isThere, "\(answer.json)")
            #expect(answer.json["window"] is NSNull, "\(answer.json)")
        }
        // Another process has the windows.
        let blind = try await user(try await TestAPI(), "u")
        #expect(blind.json["window"] is NSNull && blind.json["has_window"] == nil, "\(blind.json)")
    }

    @Test func theNewestLabelsAreTold() async throws {
        let api = try await TestAPI()
        #expect((try await user(api, "u").json["labels"] as? [Any])?.isEmpty == true)
        try api.putLabelled(user: "u", count: 25)
        let labels = try await user(api, "u").json["labels"] as? [[String: Any]] ?? []
        #expect(labels.compactMap { $0["transaction_id"] as? String } == (5..<25).reversed().map { "t\($0)" })
        #expect(labels.first?["label"] as? String == "fraud" && labels.last?["label"] as? String == "genuine")
    }

    /// A lake that is away or broken hides nothing of the rest.
    @Test func aLakeThatCannotBeReadIsTold() async throws {
        let api = try await TestAPI()
        let day = try #require(LakeDay(parsing: "2026-02-02"))
        try api.lake.put("processed/\(day.path)/part-0.parquet", Array("no Parquet".utf8), if: .always)
        let answer = try await user(api, "u")
        #expect(answer.status == "200" && answer.json["labels"] == nil, "\(answer.json)")
        #expect(
            (answer.json["labels_error"] as? String)?.contains("part-0.parquet") == true, "\(answer.json)")
        #expect((answer.json["serving"] as? [String: Any])?["tenant"] as? String == "global")
    }
}

extension TestAPI {
    /// Transactions `t0`, `t1`, … of a user in the lake, a second apart, that came with labels: those of even
    /// number are frauds.
    func putLabelled(user: String, count: Int) throws {
        let day = LakeDay(dayNumber: 20_486)
        let writer = try ParquetWriter(columns: [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text, isSearched: true),
            ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
            ParquetColumn("is_fraud", .boolean, isNullable: true),
        ])
        let frauds = (0..<count).map { $0 % 2 == 0 } as [Bool?]
        try writer.append([
            .text(TextColumn((0..<count).map { "t\($0)" })),
            .text(TextColumn(Array(repeating: user, count: count))),
            .real(Array(repeating: 1, count: count)),
            .timestampMilliseconds((0..<count).map { day.startMilliseconds + Int64($0) * 1_000 }),
            .boolean(NullableColumn(frauds, nullAs: false)),
        ])
        try lake.put("processed/\(day.path)/part-0.parquet", try writer.finish(), if: .always)
    }
}
