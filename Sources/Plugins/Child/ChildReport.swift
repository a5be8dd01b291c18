import CProcess
import Foundation
import Glibc

/// The child's side: one JSON object a line on what was its standard output.
///
/// Whatever the plugin prints goes to standard error from then on, so that it cannot pass for a report.
struct ChildReport {
    private let descriptor: Int32

    /// Takes standard output over, for the rest of the process's life.
    init() {
        descriptor = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10)
        dup2(STDERR_FILENO, STDOUT_FILENO)
    }

    /// Blocks until the parent has room for it; a parent that is gone ends this process (SIGPIPE) or is ignored.
    func send(_ message: some Encodable) {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard var line = try? encoder.encode(message) else { return }
        line.append(10)
        line.withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = write(descriptor, bytes.baseAddress?.advanced(by: sent), bytes.count - sent)
                if count > 0 {
                    sent += count
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}

/// What a process that runs a plugin may use.
public struct ChildLimits: Sendable, Hashable, Codable {
    /// Address space; 0: no limit.
    public var memoryMiB: Int
    public var timeMilliseconds: Int

    public init(memoryMiB: Int, timeMilliseconds: Int) {
        self.memoryMiB = memoryMiB
        self.timeMilliseconds = timeMilliseconds
    }

    /// Binds this process, for the rest of its life.
    ///
    /// The time limit is the parent's to keep; twice that ends a child whose parent is gone.
    func apply() {
        let seconds = UInt32(clamping: 2 * max(1, (timeMilliseconds + 999) / 1_000))
        process_limit(UInt64(clamping: memoryMiB) << 20, seconds)
    }
}
