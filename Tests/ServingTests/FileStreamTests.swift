import Foundation
import Testing

@testable import Serving

/// A file as a stream: every line once, whatever the size of the reads, and a place to go on from.
@Suite struct FileStreamTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func stream(_ text: String, checkpoint: [UInt8]? = nil) throws -> FileTransactionStream {
        try text.write(toFile: path("in"), atomically: true, encoding: .utf8)
        return try FileTransactionStream(
            .init(input: path("in"), verdicts: path("out"), deadLetters: path("dead")), checkpoint: checkpoint
        )
    }

    private func lines(_ records: RawRecords) -> [String] {
        withExtendedLifetime(records.owner) { records.payloads.map { String(decoding: $0, as: UTF8.self) } }
    }

    @Test func everyLineOnceWithItsNumber() throws {
        let stream = try stream("a\n\nb\r\nc")
        let records = try #require(try stream.next(BatchLimits()))
        #expect(lines(records) == ["a", "b", "c"] || lines(records) == ["a", "b"])
        var all = lines(records)
        var offsets = records.offsets
        while let more = try stream.next(BatchLimits()) {
            all += lines(more)
            offsets += more.offsets
        }
        #expect(all == ["a", "b", "c"])
        #expect(offsets == [0, 2, 3])
        #expect(stream.isFinished)
    }

    @Test func linesLongerThanTheBufferArrive() throws {
        let long = String(repeating: "x", count: 3 << 20)
        let stream = try stream("\(long)\nshort\n")
        var all: [Int] = []
        while let records = try stream.next(BatchLimits(sizeBytes: 64 << 20)) {
            all += records.payloads.map(\.count)
        }
        #expect(all == [3 << 20, 5])
    }

    @Test func goesOnAtACheckpointAndCutsWhatWasWrittenAfterIt() throws {
        let text = (0..<100).map { "line \($0)\n" }.joined()
        let first = try stream(text)
        let limits = BatchLimits(records: 10)
        var delivered: [String] = []
        for _ in 0..<3 {
            let records = try #require(try first.next(limits))
            delivered += lines(records)
            #expect(try first.deliver(Self.delivery(records), writeWindows: { true }) == .delivered)
        }
        let checkpoint = try first.checkpoint
        let lost = try #require(try first.next(limits))
        #expect(try first.deliver(Self.delivery(lost), writeWindows: { true }) == .delivered)
        first.close()

        let second = try stream(text, checkpoint: checkpoint)
        while let records = try second.next(limits) {
            delivered += lines(records)
            #expect(try second.deliver(Self.delivery(records), writeWindows: { true }) == .delivered)
        }
        second.close()
        #expect(delivered == (0..<100).map { "line \($0)" })
        let written = try String(contentsOfFile: path("out"), encoding: .utf8)
        #expect(written == text)
    }

    @Test func aConflictDeliversNothing() throws {
        let stream = try stream("a\n")
        let records = try #require(try stream.next(BatchLimits()))
        #expect(try stream.deliver(Self.delivery(records), writeWindows: { false }) == .windowsChanged)
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "")
    }

    @Test func aMissingFileIsNamed() {
        #expect(throws: StreamFileError.self) {
            try FileTransactionStream(.init(input: path("absent"), verdicts: path("out")))
        }
    }

    private static func delivery(_ records: RawRecords) -> Delivery {
        var output = OutputRecords()
        for payload in records.payloads {
            output.append(key: UnsafeBufferPointer(start: nil, count: 0), slice: 0, offset: 0) {
                $0.append(contentsOf: payload)
            }
        }
        return Delivery(
            verdicts: output, deadLetters: [], slices: records.slices, assignment: records.assignment)
    }
}
