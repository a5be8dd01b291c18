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

    @Test func theFileThatIsReadIsNotWritten() throws {
        let text = "a\nb\n"
        try text.write(toFile: path("in"), atomically: true, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: path("link"), withDestinationPath: path("in"))
        for (verdicts, deadLetters) in [("in", "dead"), ("link", "dead"), ("out", "in")] {
            let error = #expect(throws: StreamFileError.self) {
                _ = try FileTransactionStream(
                    .init(input: path("in"), verdicts: path(verdicts), deadLetters: path(deadLetters)))
            }
            #expect(error?.description.contains("it is the file that is read") == true)
        }
        #expect(try String(contentsOfFile: path("in"), encoding: .utf8) == text)
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

    /// What a line that jumps ahead in time is worth is told by the lines after it, whatever the batches.
    @Test(arguments: [1, 7, 2_000])
    func linesThatJumpAheadAreJudgedByThoseAfterThem(batchSize: Int) throws {
        func line(_ id: Int, _ time: Int64) -> String {
            #"{"transaction_id":"t\#(id)","user_id":"u","amount":1,"timestamp":\#(time)}"# + "\n"
        }
        let day: Int64 = 86_400_000
        let now: Int64 = 1_770_000_000_000
        // The first is dated ahead, then a poisoned one, then a pause of nine days, and one ahead at the very end.
        var times = [now + 400 * day] + (0..<20).map { now + $0 * 1_000 } + [now + 31 * day]
        times += (20..<40).map { now + $0 * 1_000 } + (0..<20).map { now + 9 * day + $0 * 1_000 }
        times.append(now + 99 * day)
        let stream = try stream(times.enumerated().map { line($0, $1) }.joined())
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        let consume = ConsumeStage()
        var marks: [TransactionMarks] = []
        while let records = try stream.next(BatchLimits(records: batchSize)) {
            #expect(records.payloads.count <= batchSize)
            let windowed = try stage.run(try consume.run(records))
            marks += windowed.marks
            // As if delivered at once, so that the next batch begins where this one ended.
            #expect(try store.write(windowed.writes))
        }
        let future = marks.indices.filter { marks[$0].contains(.future) }
        #expect(future == [0, 21])
        #expect(marks.count == times.count)
    }

    @Test func goesOnAtACheckpointAndCutsWhatWasWrittenAfterIt() throws {
        let text = (0..<100).map { "line \($0)\n" }.joined()
        let first = try stream(text)
        let limits = BatchLimits(records: 10)
        var delivered: [String] = []
        for _ in 0..<3 {
            let records = try #require(try first.next(limits))
            delivered += lines(records)
            try Self.deliver(records, to: first)
        }
        let checkpoint = try first.checkpoint
        let lost = try #require(try first.next(limits))
        try Self.deliver(lost, to: first)
        first.close()

        let second = try stream(text, checkpoint: checkpoint)
        while let records = try second.next(limits) {
            delivered += lines(records)
            try Self.deliver(records, to: second)
        }
        second.close()
        #expect(delivered == (0..<100).map { "line \($0)" })
        let written = try String(contentsOfFile: path("out"), encoding: .utf8)
        #expect(written == text)
    }

    private func deliverAll(_ stream: FileTransactionStream) throws {
        while let records = try stream.next(BatchLimits(records: 1)) {
            try Self.deliver(records, to: stream)
        }
    }

    @Test func anotherFileInThePlaceOfTheOneReadIsReadFromItsBeginning() throws {
        let first = try stream("a1\na2\n")
        try deliverAll(first)
        var checkpoint = try first.checkpoint
        first.close()
        #expect(FileTransactionStream.canResume(checkpoint, input: path("in")))

        // Longer than what was read, as long, and shorter.
        var expected = "a1\na2\n"
        for text in ["b1\nb2\nb3\n", "c1\nc2\nc3\n", "d\n"] {
            let next = try stream(text, checkpoint: checkpoint)
            #expect(!FileTransactionStream.canResume(checkpoint, input: path("in")))
            #expect(next.notices.count == 1)
            try deliverAll(next)
            checkpoint = try next.checkpoint
            next.close()
            expected += text
            #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == expected)
        }
        // The same one, grown.
        let grown = try stream("d\ne\n", checkpoint: checkpoint)
        #expect(grown.notices == [])
        try deliverAll(grown)
        grown.close()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == expected + "e\n")
    }

    @Test func anotherInputIsReadFromItsBeginningAndSaysSo() throws {
        let first = try stream("a\n")
        try deliverAll(first)
        try "b\n".write(toFile: path("other"), atomically: true, encoding: .utf8)
        let second = try FileTransactionStream(
            .init(input: path("other"), verdicts: path("out"), deadLetters: path("dead")),
            checkpoint: try first.checkpoint)
        #expect(second.notices.count == 1)
        try deliverAll(second)
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "a\nb\n")
    }

    @Test func aFileOfVerdictsThatIsAnotherIsNotCut() throws {
        let first = try stream("a1\na2\n")
        let records = try #require(try first.next(BatchLimits(records: 1)))
        try Self.deliver(records, to: first)
        let checkpoint = try first.checkpoint
        first.close()
        for held in ["somebody's own words", ""] {
            try held.write(toFile: path("out"), atomically: true, encoding: .utf8)
            let second = try stream("a1\na2\n", checkpoint: checkpoint)
            #expect(second.notices.count == 1)
            try deliverAll(second)
            second.close()
            #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == held + "a2\n")
        }
    }

    /// Found out by what is open, not by what stands at the path when the place is written down.
    @Test func anInputThatIsReplacedOrCutWhileItIsReadIsReadFromItsBeginning() throws {
        let first = try stream("a\nb\nc\n")
        try Self.deliver(try #require(try first.next(BatchLimits(records: 2))), to: first)
        for isReplaced in [true, false] {
            try "x\n".write(toFile: path("in"), atomically: isReplaced, encoding: .utf8)
            let checkpoint = try first.checkpoint
            let next = try FileTransactionStream(
                .init(input: path("in"), verdicts: path("out"), deadLetters: path("dead")),
                checkpoint: checkpoint)
            #expect(next.notices.contains { $0.contains("is another file") })
            let records = try #require(try next.next(BatchLimits()))
            #expect(lines(records) == ["x"])
            #expect(records.offsets == [0])
            next.close()
        }
        first.close()
    }

    /// As those do who keep logs short.
    @Test(arguments: ["moved", "emptied", "removed"])
    func verdictsGoOnBehindWhatOthersMadeOfTheirFile(_ what: String) throws {
        let stream = try stream("a\nb\nc\nd\n")
        try Self.deliver(try #require(try stream.next(BatchLimits(records: 1))), to: stream)
        stream.noteSaved()
        try Self.deliver(try #require(try stream.next(BatchLimits(records: 1))), to: stream)
        #expect(!stream.isUnsaved)
        switch what {
        case "moved": try FileManager.default.moveItem(atPath: path("out"), toPath: path("out.1"))
        case "emptied": #expect(truncate(path("out"), 0) == 0)
        default: try FileManager.default.removeItem(atPath: path("out"))
        }
        let place = try stream.checkpoint
        try Self.deliver(try #require(try stream.next(BatchLimits(records: 1))), to: stream)
        #expect(stream.isUnsaved)
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "c\n")
        if what == "moved" {
            #expect(try String(contentsOfFile: path("out.1"), encoding: .utf8) == "a\nb\n")
        }
        // What a failed delivery wrote there is taken back, and nothing else.
        let records = try #require(try stream.next(BatchLimits(records: 1)))
        stream.prepare(Self.delivery(records))
        try stream.abort()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "c\n")
        let checkpoint = try stream.checkpoint
        stream.close()
        // From the place before it was changed, what stands there is kept; from the one after, it goes on behind it.
        for (checkpoint, notices, expected) in [(checkpoint, 0, "c\nd\n"), (place, 1, "c\nd\nc\nd\n")] {
            let next = try self.stream("a\nb\nc\nd\n", checkpoint: checkpoint)
            #expect(next.notices.count == notices)
            try deliverAll(next)
            next.close()
            #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == expected)
        }
    }

    /// A later session of the same process asks the one before it, which is closed.
    @Test func aStreamThatIsClosedStillTellsItsFilesFromOthers() throws {
        let first = try stream("a1\na2\n")
        try Self.deliver(try #require(try first.next(BatchLimits(records: 1))), to: first)
        first.close()
        try FileManager.default.moveItem(atPath: path("out"), toPath: path("out.1"))
        let held = "somebody's own words\n"
        try held.write(toFile: path("out"), atomically: true, encoding: .utf8)
        let second = try stream("a1\na2\n", checkpoint: try first.checkpoint)
        #expect(second.notices.count == 1)
        try deliverAll(second)
        second.close()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == held + "a2\n")
        #expect(try String(contentsOfFile: path("out.1"), encoding: .utf8) == "a1\n")
    }

    @Test func withoutACheckpointWhatTheOutputsHoldIsKeptUnlessAllIsToBeWrittenAnew() throws {
        try "before\n".write(toFile: path("out"), atomically: true, encoding: .utf8)
        let first = try stream("a\n")
        #expect(first.notices.count == 1)
        #expect(first.isUnsaved)
        try deliverAll(first)
        first.close()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "before\na\n")
        var settings = FileTransactionStream.Settings(input: path("in"), verdicts: path("out"))
        settings.isOverwriting = true
        let second = try FileTransactionStream(settings)
        try deliverAll(second)
        second.close()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "a\n")
    }

    /// The rest of a line, or its end alone, is no line of its own after a start in its middle.
    @Test func aPlaceWithinALineIsLeftAtItsEnd() throws {
        let long = String(repeating: "x", count: 9 << 20)
        let first = try stream("a\n\(long)\nb\n")
        var offsets: [Int64] = []
        // The long line is handed out when 8 MiB of it are there.
        while offsets.count < 2, let records = try first.next(BatchLimits(records: 1)) {
            offsets += records.offsets
            try Self.deliver(records, to: first)
        }
        #expect(offsets == [0, 1])
        let checkpoint = try first.checkpoint
        first.close()
        let second = try stream("a\n\(long)\nb\n", checkpoint: checkpoint)
        let records = try #require(try second.next(BatchLimits()))
        #expect(lines(records) == ["b"])
        #expect(records.offsets == [2])
        second.close()
    }

    @Test func aLineThatIsStillWrittenIsLeftForTheNextStart() throws {
        var settings = FileTransactionStream.Settings(input: path("in"), verdicts: path("out"))
        settings.isGrowing = true
        var checkpoint: [UInt8]?
        var all: [String] = []
        var offsets: [Int64] = []
        // The second has no end yet, then is whole without one; then comes its end, and a third.
        for text in [
            #"{"a":1}"# + "\n{\"b\":", #"{"a":1}"# + "\n{\"b\":2}", #"{"a":1}"# + "\n{\"b\":2}\n{\"c\":3}\n",
        ] {
            try text.write(toFile: path("in"), atomically: false, encoding: .utf8)
            let stream = try FileTransactionStream(settings, checkpoint: checkpoint)
            #expect(stream.notices == [])
            while let records = try stream.next(BatchLimits()) {
                all += lines(records)
                offsets += records.offsets
                try Self.deliver(records, to: stream)
            }
            #expect(stream.isFinished)
            checkpoint = try stream.checkpoint
            stream.close()
        }
        #expect(all == [#"{"a":1}"#, #"{"b":2}"#, #"{"c":3}"#])
        #expect(offsets == [0, 1, 2])
    }

    /// Before `read`, `written` and `refused` there was nothing to compare: the checkpoint counts.
    @Test func checkpointsOfBeforeAreReadForEver() throws {
        let old = #"{"input":"\#(path("in"))","offset":1,"inputByte":2,"verdictsSize":2,"deadLettersSize":0}"#
        try "a\nrest".write(toFile: path("out"), atomically: true, encoding: .utf8)
        let stream = try stream("a\nb\n", checkpoint: Array(old.utf8))
        #expect(stream.notices == [])
        try deliverAll(stream)
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "a\nb\n")
    }

    @Test func aConflictDeliversNothing() throws {
        let stream = try stream("a\n")
        let records = try #require(try stream.next(BatchLimits()))
        stream.prepare(Self.delivery(records))
        try stream.abort()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "")
    }

    /// The disk of the dead letters is full: the verdicts that were written already are taken back, and written once.
    @Test func whatAFailedDeliveryHasWrittenIsTakenBack() throws {
        try "a\nb\n".write(toFile: path("in"), atomically: true, encoding: .utf8)
        let stream = try FileTransactionStream(
            .init(input: path("in"), verdicts: path("out"), deadLetters: "/dev/full"))
        let records = try #require(try stream.next(BatchLimits()))
        var delivery = Self.delivery(records)
        for _ in 0..<2 {
            delivery.deadLetters = [
                DeadLetter(
                    payload: Array("b".utf8), source: records.slices[0].source, offset: 1, reason: "test",
                    detail: "test")
            ]
            stream.prepare(delivery)
            let failure = #expect(throws: DeliveryError.self) { try stream.commit() }
            #expect(failure?.isRetryable == true)
            try stream.abort()
            #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "")
        }
        delivery.deadLetters = []
        stream.prepare(delivery)
        try stream.commit()
        #expect(try String(contentsOfFile: path("out"), encoding: .utf8) == "a\nb\n")
        #expect(stream.committedOffsets(of: [0, 1]) == [0: 2])
    }

    @Test func aMissingFileIsNamed() {
        #expect(throws: StreamFileError.self) {
            try FileTransactionStream(.init(input: path("absent"), verdicts: path("out")))
        }
    }

    private static func deliver(_ records: RawRecords, to stream: FileTransactionStream) throws {
        stream.prepare(delivery(records))
        try stream.commit()
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
