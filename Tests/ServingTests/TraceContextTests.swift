import Foundation
import Kafka
import Testing

@testable import Serving

/// What comes with a record and is not its transaction: its trace, and a serialiser's header.
@Suite struct TraceContextTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let parent = "00-\(trace)-00f067aa0ba902b7-01"

    private func context(_ parent: String, _ state: String? = nil) -> TraceContext? {
        TraceContext(parent: Array(parent.utf8), state: state.map { Array($0.utf8) })
    }

    @Test func whatIsPassedOnIsWhatCame() throws {
        let found = try #require(context(Self.parent, "rojo=1,congo=t61"))
        #expect(found.traceID == Self.trace && found.spanID == "00f067aa0ba902b7")
        #expect(
            found.headers == [
                KafkaHeader("traceparent", Self.parent), KafkaHeader("tracestate", "rojo=1,congo=t61"),
            ])
        #expect(context("01" + Self.parent.dropFirst(2) + "-what-will-be") != nil)
        #expect(context(Self.parent, String(repeating: "x", count: 513))?.headers.count == 1)
        #expect(context(Self.parent, "line\nend")?.headers.count == 1)
    }

    @Test(arguments: [
        "", "00", "00-\(TraceContextTests.trace)-00f067aa0ba902b7-0",
        "00-\(TraceContextTests.trace)-00f067aa0ba902b7-01-more",
        "ff-\(TraceContextTests.trace)-00f067aa0ba902b7-01",
        "00-\(TraceContextTests.trace.uppercased())-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-\(TraceContextTests.trace)-0000000000000000-01",
        "00_\(TraceContextTests.trace)-00f067aa0ba902b7-01",
        "01-\(TraceContextTests.trace)-00f067aa0ba902b7-01\r\nforged: yes",
        "01-\(TraceContextTests.trace)-00f067aa0ba902b7-01-\u{0}",
    ])
    func whatIsNoTraceIsNotPassedOn(text: String) { #expect(context(text) == nil) }

    private func consumed(_ payloads: [[UInt8]], _ trace: ((Int) -> TraceContext?)? = nil) throws
        -> ConsumedBatch
    {
        let bytes = payloads.flatMap { $0 }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 8)
        defer { memory.deallocate() }
        memory.copyBytes(from: bytes)
        var start = 0
        let views = payloads.map { payload in
            defer { start += payload.count }
            return UnsafeRawBufferPointer(rebasing: memory[start..<start + payload.count])
        }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "t", partition: 0), start: 0, end: Int64(payloads.count))
        return try ConsumeStage().run(
            RawRecords(
                payloads: views, offsets: payloads.indices.map { Int64($0) },
                sliceIndex: payloads.map { _ in 0 }, slices: [slice], assignment: 1, trace: trace,
                owner: self as AnyObject))
    }

    private func json(_ id: String) -> [UInt8] {
        Array(
            #"{"transaction_id":"\#(id)","user_id":"u","amount":1,"timestamp":1770120000000}"#.utf8)
    }

    @Test func aTraceGoesWithItsTransaction() throws {
        let batch = try consumed([json("a"), Array("no".utf8), json("b")]) { index in
            index == 2 ? context(Self.parent) : nil
        }
        #expect(batch.count == 2 && batch.traces.mapValues(\.traceID) == [1: Self.trace])
        let (first, second) = batch.split { _ in 2 }
        #expect(first?.traces.isEmpty == true && second?.traces.mapValues(\.traceID) == [0: Self.trace])
        #expect(try consumed([json("a")]).traces.isEmpty)
    }

    /// What Confluent's JSON Schema serialiser writes: a zero, the schema's id, and JSON.
    @Test func aSerialisersHeaderIsPassedOverAndKeptInDeadLetters() throws {
        let header: [UInt8] = [0, 0, 0, 1, 7]
        let batch = try consumed([
            json("a"), header + json("b"), header + Array("{\"a\"".utf8), header, [0], [],
        ])
        #expect((0..<batch.count).map { batch.transactions.text(.transactionID, $0) } == ["a", "b"])
        #expect(batch.deadLetters.map(\.payload) == [header + Array("{\"a\"".utf8), header, [0], []])
    }
}
