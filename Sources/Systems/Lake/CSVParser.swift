/// Reads CSV as RFC 4180 has it, piece by piece, and a little more: lines may end with CR LF, LF or CR, empty lines
/// are skipped, and a byte order mark at the start is too.
///
/// A record that breaks the rules does not end the reading: it is handed over with its `problem`. Used by one thread
/// at a time.
public struct CSVParser {
    public enum Problem: Sendable, Hashable, CustomStringConvertible {
        /// A quote within a field that does not start with one.
        case strayQuote
        /// Something else than a separator or an end of line after the closing quote.
        case textAfterQuote
        /// The input ends within quotes.
        case unclosedQuote
        /// More bytes than a record may have; the rest up to the next end of line is skipped.
        case tooLong

        public var description: String {
            switch self {
            case .strayQuote:
                "a quote within a field that is not quoted; quote the field and double the quote"
            case .textAfterQuote: "text after a closing quote; double quotes that belong to the text"
            case .unclosedQuote: "the file ends within quotes"
            case .tooLong: "the record is too long; is a closing quote missing?"
            }
        }
    }

    /// One record. Its bytes are borrowed: it is valid during the call that receives it.
    public struct Record {
        /// Line of the file on which the record starts, from 1.
        public let line: Int
        /// What is wrong with it; its fields are then as far as they were read.
        public let problem: Problem?
        /// The record as it stands in the file, without its end of line; cut off where it is too long.
        public let raw: UnsafeBufferPointer<UInt8>
        fileprivate let bytes: UnsafeBufferPointer<UInt8>
        fileprivate let ends: UnsafeBufferPointer<Int>

        /// At least 1.
        public var count: Int { ends.count }

        /// The bytes of a field, without its quotes.
        public func bytes(_ field: Int) -> UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(rebasing: bytes[(field == 0 ? 0 : ends[field - 1])..<ends[field]])
        }

        /// A field as text; bytes that are no UTF-8 are replaced by U+FFFD.
        public subscript(field: Int) -> String { String(decoding: bytes(field), as: UTF8.self) }

        public var fields: [String] { (0..<count).map { self[$0] } }
    }

    private enum State {
        case fieldStart, unquoted, quoted
        /// After a quote within quotes: the end of the field, or the first half of a quote that belongs to the text.
        case quoteInQuoted
        /// The rest of a line that cannot be read.
        case skippingLine
    }

    private let separator: UInt8
    private let maximumRecordBytes: Int
    private var state = State.fieldStart
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private var problem: Problem?
    private var line = 1
    private var recordLine = 1
    private var lastWasCarriageReturn = false
    /// The start of a record that began in an earlier piece, as it stands in the file.
    private var carried: [UInt8] = []
    private var checkedForMark = false

    private static let quote = UInt8(ascii: "\"")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// - Parameters:
    ///   - separator: between fields.
    ///   - maximumRecordBytes: longer records are a problem; keeps an unclosed quote from taking all memory.
    public init(separator: UInt8 = UInt8(ascii: ","), maximumRecordBytes: Int = 1 << 20) {
        self.separator = separator
        self.maximumRecordBytes = maximumRecordBytes
    }

    /// Reads the next piece of the input, cut anywhere, and calls `body` with each record that ends in it. When `body`
    /// throws, the rest of the piece is lost.
    public mutating func parse(_ piece: UnsafeBufferPointer<UInt8>, _ body: (Record) throws -> Void) rethrows
    {
        if checkedForMark { return try parseText(piece, body) }
        // The first three bytes decide, and may come one by one.
        carried.append(contentsOf: piece)
        if carried.count < Self.byteOrderMark.count { return }
        try startText(body)
    }

    public mutating func parse(_ piece: [UInt8], _ body: (Record) throws -> Void) rethrows {
        try piece.withUnsafeBufferPointer { try parse($0, body) }
    }

    /// Ends the input; the last record needs no end of line.
    public mutating func finish(_ body: (Record) throws -> Void) rethrows {
        if !checkedForMark { try startText(body) }
        if state == .quoted { problem = .unclosedQuote }
        try endRecord(UnsafeBufferPointer(start: nil, count: 0), body)
    }

    private mutating func startText(_ body: (Record) throws -> Void) rethrows {
        checkedForMark = true
        var start = carried
        carried = []
        if start.starts(with: Self.byteOrderMark) { start.removeFirst(Self.byteOrderMark.count) }
        try start.withUnsafeBufferPointer { try parseText($0, body) }
    }

    private mutating func parseText(
        _ piece: UnsafeBufferPointer<UInt8>, _ body: (Record) throws -> Void
    ) rethrows {
        var recordStart = 0
        var position = 0
        while position < piece.count {
            let plain = plainBytes(piece, from: position)
            if plain > 0 {
                keep(UnsafeBufferPointer(rebasing: piece[position..<position + plain]))
                position += plain
                lastWasCarriageReturn = false
                continue
            }
            let byte = piece[position]
            position += 1
            let endsLine = byte == Self.lineFeed || byte == Self.carriageReturn
            let isSecondHalf = byte == Self.lineFeed && lastWasCarriageReturn
            lastWasCarriageReturn = byte == Self.carriageReturn
            if endsLine, !isSecondHalf { line += 1 }
            if !endsLine {
                take(byte)
            } else if state == .quoted {
                keep(UnsafeBufferPointer(rebasing: piece[position - 1..<position]))
            } else {
                let raw = UnsafeBufferPointer(rebasing: piece[recordStart..<position - 1])
                recordStart = position
                if !isSecondHalf { try endRecord(raw, body) }
            }
        }
        carry(piece[recordStart...])
    }

    /// How many bytes from `position` on are nothing but text in the present state.
    private func plainBytes(_ piece: UnsafeBufferPointer<UInt8>, from position: Int) -> Int {
        if state == .quoteInQuoted { return 0 }
        let inText = state == .fieldStart || state == .unquoted
        var end = position
        while end < piece.count {
            let byte = piece[end]
            if byte == Self.lineFeed || byte == Self.carriageReturn { break }
            if byte == Self.quote, state != .skippingLine { break }
            if byte == separator, inText { break }
            end += 1
        }
        return end - position
    }

    /// A byte that is not plain and ends no line.
    private mutating func take(_ byte: UInt8) {
        switch state {
        case .fieldStart where byte == Self.quote: state = .quoted
        case .fieldStart, .unquoted:
            if byte == separator { endField() } else { fail(.strayQuote) }
        case .quoted: state = .quoteInQuoted
        case .quoteInQuoted where byte == Self.quote:
            state = .quoted
            withUnsafePointer(to: byte) { keep(UnsafeBufferPointer(start: $0, count: 1)) }
        case .quoteInQuoted:
            if byte == separator { endField() } else { fail(.textAfterQuote) }
        case .skippingLine: break
        }
    }

    private mutating func keep(_ text: UnsafeBufferPointer<UInt8>) {
        if state == .skippingLine { return }
        if state == .fieldStart { state = .unquoted }
        let room = max(0, maximumRecordBytes - bytes.count - ends.count)
        bytes.append(contentsOf: text.prefix(room))
        if text.count > room { fail(.tooLong) }
    }

    private mutating func endField() {
        guard bytes.count + ends.count < maximumRecordBytes else { return fail(.tooLong) }
        ends.append(bytes.count)
        state = .fieldStart
    }

    private mutating func fail(_ problem: Problem) {
        self.problem = problem
        state = .skippingLine
    }

    private mutating func carry(_ rest: Slice<UnsafeBufferPointer<UInt8>>) {
        carried.append(contentsOf: rest.prefix(maximumRecordBytes - min(maximumRecordBytes, carried.count)))
    }

    private mutating func endRecord(
        _ raw: UnsafeBufferPointer<UInt8>, _ body: (Record) throws -> Void
    ) rethrows {
        defer {
            state = .fieldStart
            problem = nil
            bytes.removeAll(keepingCapacity: true)
            ends.removeAll(keepingCapacity: true)
            carried.removeAll(keepingCapacity: true)
            recordLine = line
        }
        if state == .fieldStart, ends.isEmpty { return }
        ends.append(bytes.count)
        if !carried.isEmpty { carry(raw[...]) }
        let limit = maximumRecordBytes
        try carried.withUnsafeBufferPointer { carried in
            try bytes.withUnsafeBufferPointer { bytes in
                try ends.withUnsafeBufferPointer { ends in
                    try body(
                        Record(
                            line: recordLine, problem: problem,
                            raw: UnsafeBufferPointer(
                                rebasing: (carried.isEmpty ? raw : carried).prefix(limit)),
                            bytes: bytes, ends: ends))
                }
            }
        }
    }
}
