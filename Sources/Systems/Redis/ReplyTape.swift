import CHiredis

/// Replies as they are parsed: the elements in the order of the protocol, their bytes in one stretch.
///
/// hiredis' own reply objects cost two allocations an element. Its parser takes other constructors, which is what
/// this is: elements are noted, bytes appended, and both stretches are kept for the next reply.
final class ReplyTape {
    enum Element {
        case null
        case integer(Int64)
        case bulk(Range<Int>)
        case status(Range<Int>)
        case error(Range<Int>)
        /// So many elements follow, and theirs.
        case array(count: Int)
    }

    private(set) var elements: [Element] = []
    private(set) var bytes: [UInt8] = []

    /// What to keep between replies, bytes. A rare huge reply must not be paid for until the process ends.
    private static let keptCapacity = 8 << 20

    func removeAll() {
        elements.removeAll(
            keepingCapacity: elements.capacity * MemoryLayout<Element>.stride <= Self.keptCapacity)
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptCapacity)
    }

    /// The reply that starts at element `index`; `index` moves behind it.
    ///
    /// - Precondition: The parser has handed out whole replies, which nest at most 7 deep.
    func reply(at index: inout Int) -> RedisReply {
        let element = elements[index]
        index += 1
        switch element {
        case .null: return .null
        case .integer(let number): return .integer(number)
        case .bulk(let range): return .bulk(Array(bytes[range]))
        case .status(let range): return .status(text(range))
        case .error(let range): return .error(text(range))
        case .array(let count): return .array((0..<count).map { _ in reply(at: &index) })
        }
    }

    func hasError(where matches: (String) -> Bool) -> Bool {
        elements.contains { element in
            guard case .error(let range) = element else { return false }
            return matches(text(range))
        }
    }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    // MARK: What the parser calls

    fileprivate func appendString(type: Int32, _ start: UnsafeMutablePointer<CChar>?, _ count: Int) {
        let range = bytes.count..<bytes.count + count
        bytes.append(contentsOf: UnsafeRawBufferPointer(start: start, count: count))
        switch type {
        case REDIS_REPLY_ERROR: elements.append(.error(range))
        case REDIS_REPLY_STATUS: elements.append(.status(range))
        default: elements.append(.bulk(range))
        }
    }

    fileprivate func append(_ element: Element) { elements.append(element) }
}

/// hiredis' parser, which writes what it reads onto a tape. Used by one thread at a time.
final class ReplyParser {
    private let reader: UnsafeMutablePointer<redisReader>
    private let constructors: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let tape: ReplyTape

    /// nil when there is no memory.
    init?(tape: ReplyTape) {
        self.tape = tape
        constructors = .allocate(capacity: 1)
        constructors.initialize(to: Self.tapeConstructors)
        guard let reader = redisReaderCreateWithFunctions(constructors) else {
            constructors.deallocate()
            return nil
        }
        self.reader = reader
        // The reader gives this to every constructor; it borrows the tape, which this object keeps alive.
        reader.pointee.privdata = Unmanaged.passUnretained(tape).toOpaque()
        // By default the reader gives its buffer back whenever it is empty and above 16 KiB, to grow it anew.
        reader.pointee.maxbuf = 0
    }

    deinit {
        redisReaderFree(reader)
        constructors.deinitialize(count: 1)
        constructors.deallocate()
    }

    /// Bytes that were fed and are not part of a reply yet.
    var unreadCount: Int { reader.pointee.len - reader.pointee.pos }

    /// - Returns: nil, or what is wrong with the bytes.
    func feed(_ bytes: UnsafeRawBufferPointer) -> String? {
        let start = bytes.assumingMemoryBound(to: CChar.self).baseAddress
        return redisReaderFeed(reader, start, bytes.count) == REDIS_OK ? nil : problem
    }

    enum Step {
        case needsMore
        /// One more whole reply is on the tape.
        case reply
        case damaged(String)
    }

    func next() -> Step {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { return .damaged(problem) }
        return reply == nil ? .needsMore : .reply
    }

    private var problem: String {
        withUnsafeBytes(of: &reader.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// Each must return something that is not null, or the parser takes it for a lack of memory. Nothing owns it:
    /// the tape is emptied as a whole.
    private static let tapeConstructors = redisReplyObjectFunctions(
        createString: { task, start, count in
            withTape(of: task) { $0.appendString(type: $1, start, count) }
        },
        createArray: { task, count in
            withTape(of: task) { tape, _ in tape.append(.array(count: Int(count))) }
        },
        createInteger: { task, number in
            withTape(of: task) { tape, _ in tape.append(.integer(number)) }
        },
        createNil: { task in
            withTape(of: task) { tape, _ in tape.append(.null) }
        },
        freeObject: { _ in })
}

/// Gives `body` the tape and the type of what was read.
private func withTape(
    of task: UnsafePointer<redisReadTask>?, _ body: (ReplyTape, Int32) -> Void
) -> UnsafeMutableRawPointer? {
    guard let task, let pointer = task.pointee.privdata else { return nil }
    body(Unmanaged<ReplyTape>.fromOpaque(pointer).takeUnretainedValue(), task.pointee.type)
    return pointer
}
