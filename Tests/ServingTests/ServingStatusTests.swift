import CoreMetrics
import Foundation
import Synchronization
import Testing

@testable import Serving

@Suite struct ServingStatusTests {
    @Test func workersThatShareAStatusAreReadyTogether() {
        let status = ServingStatus()
        #expect(status.phase == .starting)
        let (first, second) = (status.join(), status.join())
        #expect(status.phase == .starting)
        status.enter(.running, of: first)
        #expect(status.phase == .running)

        status.enter(.waiting("Redis is away"), of: second)
        #expect(status.phase == .waiting("Redis is away"))
        // That the other one goes on does not hide it.
        status.enter(.running, of: first)
        #expect(status.phase == .waiting("Redis is away"))
        #expect(status.totals.interruptions == 1)
        status.enter(.running, of: second)
        #expect(status.phase == .running)

        status.setStreamTrouble("no broker answers", of: second)
        #expect(status.phase == .waiting("no broker answers"))
        status.setStreamTrouble(nil, of: second)

        status.enter(.finished, of: first)
        #expect(status.phase == .running)
        status.enter(.finished, of: second)
        #expect(status.phase == .finished)
    }

    @Test func thatRecordsAreWronglyKeyedIsSaidOnce() {
        let status = ServingStatus()
        #expect(status.saysWronglyKeyed())
        #expect(!status.saysWronglyKeyed())
    }

    @Test func delaysAreOfRecordsThatWereProduced() throws {
        let delays = Delays()
        let scene = try DriverScene(metrics: delays)
        let batch = WindowFixtures.batch(
            [WindowFixtures.record(user: 0, minute: 0)], start: 0,
            recordMilliseconds: [Int64(Date().timeIntervalSince1970 * 1_000) - 60_000])
        _ = try scene.run(batch)
        let delay = try #require(delays.nanoseconds.first)
        #expect(delays.nanoseconds.count == 1 && delay >= 60_000_000_000)
    }

    /// What a file's stream takes for a record's time is the time of an event, perhaps of last year.
    @Test func aFileHasNoDelays() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "delays-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let input = folder.appending(path: "in.jsonl").path
        try (0..<3).map {
            #"{"transaction_id":"t\#($0)","user_id":"u","amount":1,"timestamp":\#(WindowFixtures.epoch)}"#
                + "\n"
        }.joined().write(toFile: input, atomically: true, encoding: .utf8)
        let stream = try FileTransactionStream(
            .init(input: input, verdicts: folder.appending(path: "out.jsonl").path))
        let batch = try ConsumeStage().run(try #require(try stream.next(BatchLimits())))
        #expect(batch.recordMilliseconds(0) == WindowFixtures.epoch)
        let delays = Delays()
        let scene = try DriverScene(over: stream, metrics: delays)
        _ = try scene.run(batch)
        #expect(scene.status.totals.transactions == 3 && delays.nanoseconds.isEmpty)
    }
}

/// Keeps what timers are told.
private final class Delays: SilentMetrics, TimerHandler {
    private let state = Mutex<[Int64]>([])
    var nanoseconds: [Int64] { state.withLock { $0 } }

    func recordNanoseconds(_ duration: Int64) { state.withLock { $0.append(duration) } }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler { self }
}
