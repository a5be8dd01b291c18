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
    private let descriptor: Int32
    private var memory = Memory(size: 1 << 20)
    private var filled = 0
    private var consumed = 0
    private var isAtEnd = false
    private var isSkipping = false
    /// The byte of the file after the last line handed out.
    private(set) var position: UInt64

    init(path: String, at position: UInt64) throws {
        self.path = path
        self.position = position
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
final class AppendedFile: Sendable {
    private struct State {
        var descriptor: Int32
        /// Behind the last line that was written whole.
        var size: UInt64
        /// Part of a line may stand behind `size`.
        var isTorn = false
        var buffer: [UInt8] = []
    }

    private let path: String
    /// A device or a pipe has no size to set.
    let hasSize: Bool
    private let state: Mutex<State>

    init(path: String, size: UInt64) throws {
        self.path = path
        if path == "-" {
            hasSize = false
            state = Mutex(State(descriptor: STDOUT_FILENO, size: 0))
            return
        }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StreamFileError(path: path, action: "write", code: errno) }
        var status = stat()
        let isKnown = fstat(descriptor, &status) == 0
        let hasSize = isKnown && status.st_mode & S_IFMT == S_IFREG
        self.hasSize = hasSize
        guard
            isKnown,
            !hasSize || (ftruncate(descriptor, off_t(size)) == 0 && lseek(descriptor, 0, SEEK_END) >= 0)
        else {
            let code = errno
            Glibc.close(descriptor)
            throw StreamFileError(path: path, action: "write", code: code)
        }
        state = Mutex(State(descriptor: descriptor, size: size))
    }

    var size: UInt64 { state.withLock { $0.size } }

    struct Lines {
        fileprivate var buffer: [UInt8]
        mutating func append(line: some Sequence<UInt8>) {
            buffer.append(contentsOf: line)
            buffer.append(0x0A)
        }
    }

    /// Writes the lines that `body` adds.
    func append(_ body: (inout Lines) -> Void) throws {
        try state.withLock { state in
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
        }
    }

    /// Takes back what was written after `size`. What has gone into a device or a pipe stays there.
    func cut(to size: UInt64) throws {
        try state.withLock { state in
            guard hasSize, state.isTorn || state.size > size else { return }
            guard ftruncate(state.descriptor, off_t(size)) == 0, lseek(state.descriptor, 0, SEEK_END) >= 0
            else { throw StreamFileError(path: path, action: "write", code: errno) }
            (state.size, state.isTorn) = (size, false)
        }
    }

    func close() {
        state.withLock { state in
            if state.descriptor > STDERR_FILENO { Glibc.close(state.descriptor) }
            state.descriptor = -1
        }
    }
}
