import CProcess
import Foundation
import Glibc

/// How a child process ended.
enum ChildEnd: Hashable {
    case exited(Int32)
    case signalled(Int32)
    /// It was still running at the time limit and was killed.
    case timedOut(milliseconds: Int)
    /// It said more than anybody would and was killed.
    case saidTooMuch
    /// Somebody else took its status.
    case unknown

    var description: String {
        switch self {
        case .exited(let status): "ended the process with status \(status)"
        case .signalled(let signal): "was ended by \(Self.name(signal))"
        case .timedOut(let milliseconds): "was still at it after \(milliseconds) ms"
        case .unknown: "ended, nobody knows how,"
        case .saidTooMuch: "reported more than \(ChildProcess.maximumReport >> 20) MiB"
        }
    }

    private static func name(_ signal: Int32) -> String {
        guard let name = process_signal_name(signal) else { return "signal \(signal)" }
        return "SIG\(String(cString: name))"
    }
}

/// Runs a program that reports lines on its standard output.
///
/// With `posix_spawn`, not `fork`: after a fork in a process with threads hardly anything may be called. The child
/// is a process group of its own, so that what it starts ends with it; it inherits no descriptors.
struct ChildProcess {
    static let maximumReport = 64 << 20
    /// Of standard error, the last bytes.
    static let keptErrorSize = 2_000

    let executable: String
    let arguments: [String]
    let timeLimitMilliseconds: Int

    struct Outcome {
        let end: ChildEnd
        /// The last that it wrote to standard error, one line.
        let complaint: String
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Blocks until the child has ended, by itself or by the time limit.
    ///
    /// - Parameter line: Each line of the child's report, without its end, from the calling thread. Says whether the
    ///   time limit starts anew.
    /// - Throws: `Failure` when it cannot be started.
    func run(line: (Data) -> Bool) throws(Failure) -> Outcome {
        let report = try Pipe()
        let complaint = try Pipe()
        let pid = try Self.spawn(
            executable, arguments,
            process_files(input: -1, output: report.writing, errors: complaint.writing, shared: -1))
        report.closeWriting()
        complaint.closeWriting()
        var deadline = ContinuousClock.now + .milliseconds(timeLimitMilliseconds)
        var lines = LineSplitter()
        var kept = Data()
        var killed: ChildEnd?
        var hasEnded = false
        while !hasEnded, killed == nil {
            Pipe.wait([report, complaint], milliseconds: 10)
            // Asked before the last read, so that nothing that it said is missed.
            hasEnded = process_has_ended(pid) != 0
            if lines.add(report.readAll(), line) {
                deadline = ContinuousClock.now + .milliseconds(timeLimitMilliseconds)
            }
            kept = (kept + complaint.readAll()).suffix(Self.keptErrorSize)
            if hasEnded { break }
            if lines.size > Self.maximumReport { killed = .saidTooMuch }
            if ContinuousClock.now > deadline { killed = .timedOut(milliseconds: timeLimitMilliseconds) }
        }
        let end = Self.end(pid)
        return Outcome(end: killed ?? end, complaint: Self.oneLine(kept))
    }

    /// - Parameter environment: nil: that of this process.
    static func spawn(
        _ executable: String, _ arguments: [String], _ files: process_files,
        environment: [String: String]? = nil
    ) throws(Failure) -> pid_t {
        // A crash is expected here: no minutes spent on its backtrace.
        var environment = environment ?? ProcessInfo.processInfo.environment
        environment["SWIFT_BACKTRACE"] = "enable=no"
        let words = ([executable] + arguments).map { strdup($0) } + [nil]
        let pairs = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + pairs { free(text) } }
        var pid: pid_t = 0
        var files = files
        let status = process_spawn(&pid, executable, words, pairs, &files)
        guard status == 0 else {
            throw Failure(
                description: "\(executable) cannot be started: \(String(cString: strerror(status)))")
        }
        return pid
    }

    /// Ends a child and what it started.
    ///
    /// - Returns: How it had ended by itself, if it had.
    static func end(_ pid: pid_t) -> ChildEnd {
        var status: Int32 = 0
        let signal = process_end(pid, &status)
        return signal == 0 ? .exited(status) : signal > 0 ? .signalled(signal) : .unknown
    }

    private static func oneLine(_ data: Data) -> String {
        String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).suffix(3)
            .joined(separator: " | ")
    }
}

/// Both ends of a pipe; the reading one does not block.
private final class Pipe {
    private let reading: Int32
    private(set) var writing: Int32
    private var isOpen = true

    init() throws(ChildProcess.Failure) {
        var ends: [Int32] = [-1, -1]
        let status = process_pipe(&ends)
        guard status == 0 else {
            throw ChildProcess.Failure(description: "no pipe: \(String(cString: strerror(status)))")
        }
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        closeWriting()
        close(reading)
    }

    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }

    /// Until one of them has something to read or the time is up.
    static func wait(_ pipes: [Pipe], milliseconds: Int32) {
        var polled = pipes.filter(\.isOpen).map { pollfd(fd: $0.reading, events: Int16(POLLIN), revents: 0) }
        _ = poll(&polled, nfds_t(polled.count), milliseconds)
    }

    /// What is there now.
    func readAll() -> Data {
        var data = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while isOpen, data.count < ChildProcess.maximumReport {
            let count = read(reading, &buffer, buffer.count)
            if count > 0 {
                data.append(contentsOf: buffer[..<count])
            } else if count == 0 {
                isOpen = false
            } else if errno != EINTR {
                break
            }
        }
        return data
    }
}

/// Makes lines of pieces. What comes after the last line's end is no line: the child was killed in the middle of it.
private struct LineSplitter {
    private var rest = Data()
    private(set) var size = 0

    /// - Returns: Whether `line` said yes to any.
    mutating func add(_ data: Data, _ line: (Data) -> Bool) -> Bool {
        size += data.count
        rest.append(data)
        let pieces = rest.split(separator: 10, omittingEmptySubsequences: false)
        var isYes = false
        for piece in pieces.dropLast() where line(Data(piece)) { isYes = true }
        rest = Data(pieces.last ?? Data())
        return isYes
    }
}
