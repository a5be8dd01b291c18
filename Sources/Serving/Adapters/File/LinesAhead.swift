import Exact
import Transactions

/// Lines of a file, parsed, and for those that jump ahead in time what the lines after them say of it.
///
/// A file does not know when its lines were written. Where a line's event is more than the skew ahead of all before it (or
/// there is none before it), either the stream paused or the event is dated wrongly, and the lines after it tell: half of
/// the next ones, `lookaheadCount` at most, are later than the line's record time, which is what this gives it. No other
/// line gets one, and no other waits for those after it.
struct LinesAhead: ~Copyable {
    struct Read {
        let chunk: LineReader.Chunk
        let parsed: ParsedRecords
        /// The byte of the file after the chunk.
        let endByte: UInt64
        /// One for each line of the chunk; nil: none has one.
        var recordMilliseconds: [Int64]?
    }

    static let lookaheadCount = 15

    /// The time that the lines handed out have come to.
    private(set) var clock: EventClock
    private var reader: LineReader
    private let parser: TransactionParser
    private let skewMilliseconds: Int64
    private let looksAhead: Bool
    /// Of the file that is read.
    var descriptor: Int32 { reader.descriptor }
    /// Read and not handed out.
    private var waiting: [Read] = []
    private var isAtEnd = false

    init(
        _ reader: consuming LineReader, clock: EventClock, skewMilliseconds: Int64, looksAhead: Bool,
        zone: PlaceZone?
    ) {
        self.reader = reader
        parser = TransactionParser(zone: zone)
        self.clock = clock
        self.skewMilliseconds = skewMilliseconds
        self.looksAhead = looksAhead
    }

    /// The next lines, or nil at the end.
    mutating func next(maximumCount: Int, maximumSize: Int) throws -> Read? {
        if waiting.isEmpty { try readMore(maximumCount: maximumCount, maximumSize: maximumSize) }
        guard !waiting.isEmpty else { return nil }
        let times = waiting[0].parsed.transactions.timestampMilliseconds
        for (row, time) in times.enumerated() {
            var recordTime: Int64?
            if clock.isJump(time, skewMilliseconds: skewMilliseconds), looksAhead {
                let count = min(maximumCount, Self.lookaheadCount)
                recordTime = try timeAfter(row, maximumCount: count, maximumSize: maximumSize) ?? time
            }
            _ = clock.isFuture(
                eventMilliseconds: time, recordMilliseconds: recordTime, skewMilliseconds: skewMilliseconds)
            if let recordTime { waiting[0].setRecordTime(recordTime, ofRow: row) }
        }
        return waiting.removeFirst()
    }

    private mutating func readMore(maximumCount: Int, maximumSize: Int) throws {
        guard !isAtEnd else { return }
        guard let chunk = try reader.next(maximumCount: maximumCount, maximumSize: maximumSize) else {
            isAtEnd = true
            return
        }
        waiting.append(Read(chunk: chunk, parsed: parser.parsed(chunk.lines), endByte: reader.position))
    }

    /// The time that half of the lines after a row of the first chunk are later than; nil: there are none.
    private mutating func timeAfter(_ row: Int, maximumCount: Int, maximumSize: Int) throws -> Int64? {
        var after = Array(
            waiting[0].parsed.transactions.timestampMilliseconds.dropFirst(row + 1).prefix(
                Self.lookaheadCount)
        )
        var next = 1
        while after.count < Self.lookaheadCount {
            if next == waiting.count {
                try readMore(maximumCount: maximumCount, maximumSize: maximumSize)
                guard next < waiting.count else { break }
            }
            after += waiting[next].parsed.transactions.timestampMilliseconds
                .prefix(Self.lookaheadCount - after.count)
            next += 1
        }
        guard !after.isEmpty else { return nil }
        after.sort()
        return after[(after.count - 1) / 2]
    }
}

extension LinesAhead.Read {
    fileprivate mutating func setRecordTime(_ time: Int64, ofRow row: Int) {
        var times = recordMilliseconds ?? [Int64](repeating: .min, count: chunk.lines.count)
        times[Int(parsed.transactions.messageIndex[row])] = time
        recordMilliseconds = times
    }
}
