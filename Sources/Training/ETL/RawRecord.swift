import Lake

/// One record of a raw source, borrowed for the call that receives it.
struct RawRecord {
    /// Where it starts in the source, from 1.
    let line: Int
    /// The JSON of a transaction, one hopes; of a record with a problem, what stands in the source.
    let bytes: UnsafeBufferPointer<UInt8>
    /// What stands in the source; the same bytes, but for a source that is no JSON.
    let source: UnsafeBufferPointer<UInt8>
    /// Why it cannot even be tried.
    let problem: String?
}

/// Cuts a source, which comes in pieces, into records, in bounded memory. Used by one thread at a time.
protocol RecordSplitter {
    mutating func split(_ piece: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws
    /// Ends the source.
    mutating func finish(_ body: (RawRecord) throws -> Void) throws
}

enum RecordSplitting {
    /// Of one record; the parser refuses longer ones, so no more is kept of them.
    static let maximumBytes = 65_537

    /// What is wrong with a source that begins with these bytes; nil when it may be UTF-8.
    static func encodingProblem(_ start: UnsafeBufferPointer<UInt8>) -> String? {
        let isUTF16 = start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF])
        return isUTF16 ? "the file is UTF-16; write it as UTF-8" : nil
    }

    /// What a source's name ends with, in lower case, without what says that it is compressed: `csv` of `a.CSV.gz`.
    static func form(of key: String) -> String? {
        let ends = key.split(separator: ".")
        return (Inflater.Format(fileName: key) == nil ? ends.last : ends.dropLast().last)?.lowercased()
    }

    /// nil for a source of another kind than `.csv`, `.json`, `.jsonl` and `.ndjson`.
    static func splitter(for key: String) -> (any RecordSplitter)? {
        switch form(of: key) {
        case "csv": CSVSplitter()
        case "jsonl", "ndjson": LineSplitter()
        case "json": JSONSplitter()
        default: nil
        }
    }
}

/// Lines of JSONL; empty ones are skipped.
struct LineSplitter: RecordSplitter {
    private var carried: [UInt8] = []
    private var line = 1
    /// The first line shows an encoding that cannot be read: the rest of the file says nothing.
    private var isUnusable = false

    mutating func split(_ piece: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws {
        var start = 0
        while start < piece.count {
            let rest = UnsafeBufferPointer(rebasing: piece[start...])
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return carry(rest) }
            let text = UnsafeBufferPointer(rebasing: rest[..<end])
            if carried.isEmpty {
                try emit(text, body)
            } else {
                carry(text)
                try emitCarried(body)
            }
            start += end + 1
            line += 1
        }
    }

    mutating func finish(_ body: (RawRecord) throws -> Void) throws {
        try emitCarried(body)
    }

    private mutating func carry(_ text: UnsafeBufferPointer<UInt8>) {
        carried.append(contentsOf: text.prefix(RecordSplitting.maximumBytes - carried.count))
    }

    private mutating func emitCarried(_ body: (RawRecord) throws -> Void) throws {
        var text: [UInt8] = []
        swap(&text, &carried)
        try text.withUnsafeBufferPointer { try emit($0, body) }
        text.removeAll(keepingCapacity: true)
        swap(&text, &carried)
    }

    private mutating func emit(
        _ text: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void
    ) throws {
        if isUnusable { return }
        var text = text
        if text.last == UInt8(ascii: "\r") { text = UnsafeBufferPointer(rebasing: text.dropLast()) }
        guard text.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }) else { return }
        let kept = UnsafeBufferPointer(rebasing: text.prefix(RecordSplitting.maximumBytes))
        let problem = line == 1 ? RecordSplitting.encodingProblem(kept) : nil
        isUnusable = problem != nil
        try body(RawRecord(line: line, bytes: kept, source: kept, problem: problem))
    }
}
