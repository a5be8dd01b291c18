import Glibc
import Retrying
import Synchronization

/// A file of the stream that cannot be read or written.
public struct StreamFileError: Retryable, Sendable, CustomStringConvertible {
    public let path: String
    public let action: String
    public let code: Int32
    /// It is the file that is read.
    var isInput = false

    public var description: String {
        if isInput { return "cannot \(action) \(path): it is the file that is read; name another one" }
        let name = path == "-" ? isReading ? "standard input" : "standard output" : path
        return "cannot \(action) \(name): \(String(cString: strerror(code)))"
    }

    /// Not written.
    public var isReading: Bool { action != "write" }

    /// A full disk, too many open files, a disturbed network file system: these pass.
    public var isRetryable: Bool {
        [ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR, EIO, ESTALE, ETIMEDOUT].contains(code)
    }
}

/// Reads whole lines from a file or standard input, in chunks that own their bytes.
struct LineReader: ~Copyable {
    /// A longer line is cut there; the parser refuses it, and its rest is skipped.
    static let maximumLineSize = 8 << 20

    struct Chunk {
        let owner: AnyObject
        let lines: [UnsafeRawBufferPointer]
        /// For each line, its number counted from the chunk's first; blank lines are counted and left out.
        let numbers: [Int]
        let lineCount: Int
    }

    private final class Memory {
        let bytes: UnsafeMutableRawBufferPointer
        init(size: Int) { bytes = .allocate(byteCount: size, alignment: 64) }
        deinit { bytes.deallocate() }
    }

    private let path: String
    let descriptor: Int32
    /// Whether a last line that is no whole object is left for later: somebody writes it still.
    private let isGrowing: Bool
    private var memory = Memory(size: 1 << 20)
    private var filled = 0
    private var consumed = 0
    private var isAtEnd = false
    private var isSkipping = false
    /// The byte of the file after the last line handed out.
    private(set) var position: UInt64

    init(path: String, at position: UInt64, isGrowing: Bool = false) throws {
        self.path = path
        self.position = position
        self.isGrowing = isGrowing && path != "-"
        if path == "-" {
            descriptor = STDIN_FILENO
            self.position = 0
            return
        }
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StreamFileError(path: path, action: "read", code: errno) }
        var information = stat()
        if fstat(descriptor, &information) == 0, UInt64(information.st_size) < position {
            throw StreamFileError(
                path: "\(path) (it is shorter than what was read of it)", action: "go on in", code: EINVAL)
        }
        guard lseek(descriptor, off_t(position), SEEK_SET) >= 0 else {
            throw StreamFileError(path: path, action: "seek in", code: errno)
        }
        // What stands before has been handed out: the rest of its line, if only its end, is no line of its own.
        var before: UInt8 = 0x0A
        if position > 0 { _ = pread(descriptor, &before, 1, off_t(position - 1)) }
        isSkipping = before != 0x0A
    }

    deinit {
        if descriptor != STDIN_FILENO { Glibc.close(descriptor) }
    }

    /// The next lines, or nil at the end.
    mutating func next(maximumCount: Int, maximumSize: Int) throws -> Chunk? {
        while true {
            if let chunk = takeLines(maximumCount: maximumCount, maximumSize: maximumSize) { return chunk }
            if isAtEnd { return nil }
            try readMore()
        }
    }

    private mutating func takeLines(maximumCount: Int, maximumSize: Int) -> Chunk? {
        var lines: [UnsafeRawBufferPointer] = []
        var numbers: [Int] = []
        var lineCount = 0
        var size = 0
        while lineCount < maximumCount, size < maximumSize, consumed < filled {
            let start = memory.bytes.baseAddress! + consumed
            let rest = filled - consumed
            let newline = memchr(start, 0x0A, rest)
            let length: Int
            if let newline {
                length = newline - start
            } else if isAtEnd || rest >= Self.maximumLineSize {
                length = rest
                if isAtEnd, isGrowing, !isSkipping, !Self.isWhole(start, length) { break }
            } else {
                break
            }
            let wasSkipping = isSkipping
            isSkipping = newline == nil && !isAtEnd
            let advance = length + (newline == nil ? 0 : 1)
            consumed += advance
            position += UInt64(advance)
            size += advance
            if wasSkipping { continue }
            var line = UnsafeRawBufferPointer(start: start, count: length)
            if line.last == 0x0D { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
            if !line.isEmpty {
                lines.append(line)
                numbers.append(lineCount)
            }
            lineCount += 1
        }
        return lineCount == 0
            ? nil : Chunk(owner: memory, lines: lines, numbers: numbers, lineCount: lineCount)
    }

    /// Whether a line without an end may be an object all the same.
    private static func isWhole(_ start: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        let line = UnsafeRawBufferPointer(start: start, count: count)
        return line.last { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D } == UInt8(ascii: "}")
    }

    /// Moves what is left into new memory and fills that up: handed out lines keep the old.
    private mutating func readMore() throws {
        let rest = filled - consumed
        let next = Memory(size: max(1 << 20, rest * 2))
        if rest > 0 {
            next.bytes.baseAddress!.copyMemory(from: memory.bytes.baseAddress! + consumed, byteCount: rest)
        }
        memory = next
        filled = rest
        consumed = 0
        while true {
            let count = read(descriptor, memory.bytes.baseAddress! + filled, memory.bytes.count - filled)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw StreamFileError(path: path, action: "read", code: errno) }
            filled += count
            isAtEnd = count == 0
            return
        }
    }
}

/// A file that grows at its end; opened at a known size, anything beyond it is cut off.
///
/// Others may move, remove or cut it meanwhile, as those do who keep logs short: what comes then goes behind what stands
/// at the path.
final class AppendedFile: Sendable {
    private struct State {
        var descriptor: Int32
        /// To read what was written; -1: nobody can.
        var reader: Int32 = -1
        var isFile = false
        /// Behind the last line that was written whole.
        var size: UInt64 = 0
        /// Behind the last delivery that is not taken back any more.
        var settled: UInt64 = 0
        /// Part of a line may stand behind `size`.
        var isTorn = false
        var buffer: [UInt8] = []
    }

    private let path: String
    /// A device or a pipe has no size to set.
    let hasSize: Bool
    private let state: Mutex<State>

    /// - Parameter size: Bytes that are kept, at most.
    init(path: String, size: UInt64) throws {
        self.path = path
        let opened = try Self.open(path, size: size)
        hasSize = opened.isFile
        state = Mutex(opened)
    }

    /// What was written can be read until here: a stream that has ended is asked for its place too.
    deinit {
        state.withLock { state in
            Self.closeWriting(&state)
            Self.closeReading(&state)
        }
    }

    private static func open(_ path: String, size: UInt64) throws -> State {
        if path == "-" { return State(descriptor: STDOUT_FILENO) }
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StreamFileError(path: path, action: "write", code: errno) }
        var opened = State(descriptor: descriptor)
        var status = stat()
        var isOpen = fstat(descriptor, &status) == 0
        if isOpen, status.st_mode & S_IFMT == S_IFREG {
            opened.isFile = true
            opened.size = min(size, UInt64(status.st_size))
            opened.settled = opened.size
            isOpen = opened.size == UInt64(status.st_size) || ftruncate(descriptor, off_t(opened.size)) == 0
            if isOpen { opened.reader = Glibc.open(path, O_RDONLY | O_CLOEXEC) }
        }
        guard isOpen else {
            let code = errno
            Glibc.close(descriptor)
            throw StreamFileError(path: path, action: "write", code: code)
        }
        return opened
    }

    var size: UInt64 { state.withLock { $0.size } }

    struct Lines {
        fileprivate var buffer: [UInt8]
        mutating func append(line: some Sequence<UInt8>) {
            buffer.append(contentsOf: line)
            buffer.append(0x0A)
        }
    }

    /// What stands before a place that was reached.
    func mark(at size: UInt64) -> FileMark? { state.withLock { FileMark($0.reader, size: size) } }

    /// Takes the file that stands at the path now for the one to go on with, as long as it is.
    ///
    /// - Returns: Whether it is another one, or was changed by others.
    private func follow(_ state: inout State) throws -> Bool {
        guard hasSize, !state.isTorn, state.size == state.settled else { return false }
        var (mine, named) = (stat(), stat())
        guard fstat(state.descriptor, &mine) == 0 else {
            throw StreamFileError(path: path, action: "write", code: errno)
        }
        if stat(path, &named) == 0, named.st_ino == mine.st_ino, named.st_dev == mine.st_dev {
            guard state.size != UInt64(mine.st_size) else { return false }
            state.size = UInt64(mine.st_size)
            state.settled = state.size
        } else {
            let opened = try Self.open(path, size: .max)
            Self.closeWriting(&state)
            Self.closeReading(&state)
            state = opened
        }
        return true
    }

    /// Writes the lines that `body` adds.
    ///
    /// - Returns: Whether they stand behind what others have made of the file.
    func append(_ body: (inout Lines) -> Void) throws -> Bool {
        try state.withLock { state in
            let isElsewhere = try follow(&state)
            var lines = Lines(buffer: state.buffer)
            state.buffer = []
            body(&lines)
            try lines.buffer.withUnsafeBytes { bytes in
                var written = 0
                while written < bytes.count {
                    let count = write(state.descriptor, bytes.baseAddress! + written, bytes.count - written)
                    if count < 0, errno == EINTR { continue }
                    guard count >= 0 else { throw StreamFileError(path: path, action: "write", code: errno) }
                    written += count
                    state.isTorn = written < bytes.count
                }
                state.size += UInt64(bytes.count)
            }
            lines.buffer.removeAll(keepingCapacity: true)
            state.buffer = lines.buffer
            return isElsewhere
        }
    }

    /// What was written stays.
    func settle() { state.withLock { $0.settled = $0.size } }

    /// Takes back what was written since. What has gone into a device or a pipe stays there.
    func takeBack() throws {
        try state.withLock { state in
            guard hasSize, state.isTorn || state.size > state.settled else { return }
            guard ftruncate(state.descriptor, off_t(state.settled)) == 0 else {
                throw StreamFileError(path: path, action: "write", code: errno)
            }
            (state.size, state.isTorn) = (state.settled, false)
        }
    }

    func close() { state.withLock { Self.closeWriting(&$0) } }

    private static func closeWriting(_ state: inout State) {
        if state.descriptor > STDERR_FILENO { Glibc.close(state.descriptor) }
        state.descriptor = -1
    }

    private static func closeReading(_ state: inout State) {
        if state.reader >= 0 { Glibc.close(state.reader) }
        state.reader = -1
    }
}
