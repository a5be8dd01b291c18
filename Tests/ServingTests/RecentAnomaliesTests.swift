import Foundation
import GRDB
import Logging
import Testing

@testable import Serving

/// What is kept of anomalies for people who look, on a disk that has no room.
@Suite struct RecentAnomaliesTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func entry(_ number: Int) -> RecentAnomalies.Entry {
        RecentAnomalies.Entry(
            user: Data("u\(number % 10)".utf8), transaction: "t\(number)", severity: 50, group: "g",
            verdict: Data("\(number) ".utf8) + Data(repeating: 0x20, count: 1_000))
    }

    private func count(_ recent: RecentAnomalies) throws -> Int {
        var filter = RecentAnomalies.Filter()
        filter.limit = 1_000_000
        return try recent.anomalies(filter).count
    }

    private func setRoom(_ recent: RecentAnomalies, pages: Int) throws {
        try recent.database.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA max_page_count = \(pages)")
        }
    }

    @Test func whatThereIsNoRoomForWaitsUntilThereIs() throws {
        let recent = try RecentAnomalies(path: nil, logger: logger)
        recent.note([entry(0)])
        #expect(recent.flush())
        // SQLite takes what it has for the least.
        try setRoom(recent, pages: 1)
        recent.note((1..<500).map(entry))
        for _ in 0..<3 { #expect(!recent.flush()) }
        #expect(try count(recent) == 1)
        // Whoever is erased is not among those that wait, either.
        _ = try recent.erase(userID: "u3")
        recent.note([entry(500)])
        try setRoom(recent, pages: 1_000_000)
        #expect(recent.flush())
        #expect(try count(recent) == 501 - 50)
        var filter = RecentAnomalies.Filter()
        filter.userID = "u3"
        #expect(try recent.anomalies(filter).isEmpty)
    }

    @Test func whatWaitsIsBounded() throws {
        let recent = try RecentAnomalies(path: nil, logger: logger)
        try setRoom(recent, pages: 1)
        for start in stride(from: 0, to: 30_000, by: 3_000) {
            recent.note((start..<start + 3_000).map(entry))
            #expect(!recent.flush())
        }
        try setRoom(recent, pages: 1_000_000)
        #expect(recent.flush())
        #expect(try count(recent) == RecentAnomalies.maximumWaiting)
        // The newest.
        var filter = RecentAnomalies.Filter()
        filter.limit = 1
        let newest = try #require(try recent.anomalies(filter).first)
        #expect(newest.verdict.starts(with: "29999 ".utf8))
    }
}
