import CProcess
import DetectorAPI
import Foundation
import Glibc

/// How detectors that are not trusted run: each in processes of its own, which may crash.
public struct PluginIsolation: Sendable {
    let executable: String
    let arguments: [String]
    let memoryMiB: Int
    let timeLimitMilliseconds: Int

    /// - Parameters:
    ///   - executable: A program that hands what follows `arguments` to `runIsolatedDetector(arguments:)` and ends with
    ///     what that returns: this one, usually, as `/proc/self/exe`.
    ///   - memoryMiB: Address space of a process; 0: no limit.
    ///   - timeLimitMilliseconds: For anything but fitting, which its job can cancel.
    public init(
        executable: String, arguments: [String], memoryMiB: Int = 4_096, timeLimitMilliseconds: Int = 10_000
    ) {
        self.executable = executable
        self.arguments = arguments
        self.memoryMiB = memoryMiB
        self.timeLimitMilliseconds = timeLimitMilliseconds
    }
}

/// A detector's process, seen from the host. Used by one thread at a time.
final class DetectorProcess {
    /// Models that a process keeps decoded, first in, first out; both sides count alike.
    static let maximumModels = 256

    private let pid: pid_t
    private let socket: Int32
    let region: SharedRegion
    private let timeLimitMilliseconds: Int
    private var models: [UInt64] = []
    private var hasEnded = false

    init(_ isolation: PluginIsolation, library: String) throws {
        region = try SharedRegion()
        var ends: [Int32] = [-1, -1]
        let status = process_socket_pair(&ends)
        guard status == 0 else { throw IsolationFault("no socket: \(String(cString: strerror(status)))") }
        defer { close(ends[1]) }
        do {
            pid = try ChildProcess.spawn(
                isolation.executable, isolation.arguments + [library, "\(isolation.memoryMiB)"],
                process_files(
                    input: ends[1], output: STDERR_FILENO, errors: STDERR_FILENO, shared: region.descriptor),
                environment: Self.environment)
        } catch {
            close(ends[0])
            throw IsolationFault(error.description)
        }
        socket = ends[0]
        timeLimitMilliseconds = isolation.timeLimitMilliseconds
    }

    /// None of this process's, which has keys in its own; but the loader may have to be told where libraries are.
    private static var environment: [String: String] {
        ProcessInfo.processInfo.environment.filter { $0.key == "LD_LIBRARY_PATH" }
    }

    deinit { _ = end() }

    /// Ends the process, however busy it is.
    @discardableResult
    func end() -> ChildEnd {
        guard !hasEnded else { return .unknown }
        hasEnded = true
        close(socket)
        return ChildProcess.end(pid)
    }

    /// - Parameter context: Of a fit: it has no time limit, but can be cancelled, which ends the process.
    /// - Throws: `DetectorError` that the detector threw; `IsolationFault` when the process is gone or silent.
    func call(_ request: IsolationMessage, fitting context: FitContext? = nil) throws -> IsolationMessage {
        guard !hasEnded, request.send(to: socket) else { throw gone() }
        let deadline = ContinuousClock.now + .milliseconds(timeLimitMilliseconds)
        while true {
            var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let wait = context == nil ? timeLimitMilliseconds : 50
            let ready = poll(&polled, 1, Int32(clamping: wait))
            if let context, context.isCancelled() {
                end()
                throw DetectorError.cancelled
            }
            if ready > 0 {
                guard let reply = IsolationMessage.receive(from: socket) else { throw gone() }
                switch IsolationMessage.Kind(rawValue: reply.kind) {
                case .progress: context?.progress(min(max(Double(bitPattern: reply.a), 0), 1))
                case .done: return reply
                case .failed: throw failure(reply)
                default: throw IsolationFault("its process said what nobody asked")
                }
            } else if context == nil, ContinuousClock.now > deadline {
                end()
                throw IsolationFault("its process was still at it after \(timeLimitMilliseconds) ms")
            }
        }
    }

    private func gone() -> IsolationFault {
        // The last bytes of a socket are read before the process is reaped: how it ended is its own doing.
        let deadline = ContinuousClock.now + .milliseconds(500)
        while !hasEnded, process_has_ended(pid) == 0, ContinuousClock.now < deadline { usleep(1_000) }
        return IsolationFault("its process \(end().description)")
    }

    private func failure(_ reply: IsolationMessage) -> any Error {
        guard let text = try? region.read(min(reply.b, 4_096)) else { return IsolationFault("it failed") }
        return (IsolatedFailure(rawValue: reply.a) ?? .other).error(String(decoding: text, as: UTF8.self))
    }

    /// Has the process decode an artifact, unless it has it decoded.
    ///
    /// - Returns: What it said of the model; nil when it had it.
    @discardableResult
    func load(_ id: UInt64, _ artifact: ArtifactBytes) throws -> IsolationMessage? {
        guard !models.contains(id) else { return nil }
        try region.write(artifact.bytes)
        let reply = try call(IsolationMessage(.decode, model: id, UInt64(artifact.bytes.count)))
        models.append(id)
        if models.count > Self.maximumModels { models.removeFirst() }
        return reply
    }
}
