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

    /// A file's stream of ten lines, of which five are delivered, as the next process opens it.
    private func resumed(_ folder: URL, changing: (URL) throws -> Void = { _ in }) throws
        -> FileTransactionStream
    {
        let input = folder.appending(path: "in.jsonl")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (0..<10).map { #"{"n":\#($0)}"# + "\n" }.joined().write(
            to: input, atomically: true, encoding: .utf8)
        let settings = FileTransactionStream.Settings(
            input: input.path, verdicts: folder.appending(path: "out.jsonl").path)
        let stream = try FileTransactionStream(settings)
        let records = try #require(try stream.next(BatchLimits(records: 5)))
        try stream.prepare(
            Delivery(verdicts: OutputRecords(), deadLetters: [], slices: records.slices, assignment: 0))
        try stream.commit()
        let checkpoint = try stream.checkpoint
        stream.close()
        try changing(input)
        return try FileTransactionStream(settings, checkpoint: checkpoint)
    }

    private func noted() throws -> RecentAnomalies {
        let recent = try RecentAnomalies(path: nil, logger: logger)
        recent.note(
            (1..<10).map { line in
                let source = #"{"topic":"transactions","partition":0,"offset":\#(line)}"#
                return RecentAnomalies.Entry(
                    user: Data("u".utf8), transaction: "t\(line)", severity: 50, group: "g",
                    verdict: Data(#"{"transaction_id":"t\#(line)","source":\#(source)}"#.utf8))
            })
        #expect(recent.flush())
        return recent
    }

    /// Its file has them no more, and another version may find them usual.
    @Test func whatAKilledRunTakesBackIsListedNoMore() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "recent-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let recent = try noted()
        let stream = try resumed(folder)
        #expect(stream.deliveredLines == 5 && stream.notices.isEmpty)
        recent.begin(stream)
        let listed = try recent.anomalies(RecentAnomalies.Filter()).map {
            String(decoding: $0.verdict.prefix(22), as: UTF8.self)
        }
        #expect(listed == (1...4).reversed().map { #"{"transaction_id":"t\#($0)""# })
    }

    @Test func whatWasFoundInAnotherFileStays() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "recent-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let recent = try noted()
        let stream = try resumed(folder) { try Data("{}\n".utf8).write(to: $0) }
        #expect(stream.deliveredLines == 0 && !stream.notices.isEmpty)
        recent.begin(stream)
        #expect(try count(recent) == 9)
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
