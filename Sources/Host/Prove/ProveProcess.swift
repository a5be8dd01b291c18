import Foundation
import Glibc
import Synchronization

/// Every process that a proof has started and that has not ended. Thread-safe: a signal's handler kills them too.
final class ProveChildren: Sendable {
    private struct State {
        var running: Set<pid_t> = []
        var isEnding = false
    }

    private let state = Mutex(State())

    /// Starts a program in a process group of its own, with no descriptors but its log.
    fileprivate func start(
        _ executable: String, _ arguments: [String], environment: [String: String], log: String
    ) throws -> pid_t {
        try state.withLock { state in
            guard !state.isEnding else { throw ProveFailure("\(executable): not started, the proof ends") }
            Self.keepDescriptors()
            let pid = try Self.spawn(executable, arguments, environment, log)
            state.running.insert(pid)
            return pid
        }
    }

    /// - Returns: The status of a child that has ended; nil: it runs. In one step with forgetting it, as its number may
    ///   be another process's afterwards.
    fileprivate func reap(_ pid: pid_t) -> Int32? {
        state.withLock { state in
            var status: Int32 = 0
            let reaped = waitpid(pid, &status, WNOHANG)
            guard reaped == pid || (reaped < 0 && errno == ECHILD) else { return nil }
            state.running.remove(pid)
            return reaped == pid ? status : -1
        }
    }

    fileprivate func signal(_ pid: pid_t, _ number: Int32) {
        state.withLock { state in
            if state.running.contains(pid) { Glibc.kill(pid, number) }
        }
    }

    /// Kills what runs, and lets nothing be started any more.
    func killAll() {
        state.withLock { state in
            state.isEnding = true
            for pid in state.running { Glibc.kill(-pid, SIGKILL) }
        }
    }

    /// A child with a copy of the proxy's socket would keep its port open while the proxy is away.
    private static func keepDescriptors() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > STDERR_FILENO {
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            }
        }
    }

    private static func spawn(
        _ executable: String, _ arguments: [String], _ environment: [String: String], _ log: String
    ) throws -> pid_t {
        var files = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&files)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&files)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO)
        var (none, standard) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigemptyset(&standard)
        for number in [SIGPIPE, SIGTERM, SIGINT, SIGHUP] { sigaddset(&standard, number) }
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &standard)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var words = ([executable] + arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, executable, &files, &attributes, &words, &variables)
        guard code == 0 else {
            throw ProveFailure("\(executable) cannot be started: \(String(cString: strerror(code)))")
        }
        return pid
    }
}

/// A process of a proof: a server, a worker, or a command that is run to its end. Used from one thread.
final class ProveProcess {
    let name: String
    /// Of what it writes to its standard output and error.
    let log: String
    private let pid: pid_t
    private let children: ProveChildren
    private var ended: Int32?

    /// - Parameter log: A file that is added to.
    init(
        _ name: String, _ executable: String, _ arguments: [String], environment: [String: String],
        log: String, children: ProveChildren
    ) throws {
        self.name = name
        self.log = log
        self.children = children
        pid = try children.start(executable, arguments, environment: environment, log: log)
    }

    deinit { kill() }

    var isRunning: Bool {
        if ended == nil { ended = children.reap(pid) }
        return ended == nil
    }

    /// How it has ended, in words; nil: it runs.
    var end: String? {
        guard !isRunning, let ended else { return nil }
        return ended & 0x7F == 0 ? "with status \(ended >> 8 & 0xFF)" : "by signal \(ended & 0x7F)"
    }

    var hasSucceeded: Bool { !isRunning && ended == 0 }

    func signal(_ number: Int32) { children.signal(pid, number) }

    /// As a crash does.
    func kill() {
        guard isRunning else { return }
        signal(SIGKILL)
        // What was told to end so does so, unless it hangs in the kernel: then it is left to it.
        try? waitForEnd(seconds: 10)
    }

    func waitForEnd(seconds: Double) throws {
        try proveWait("\(name) has ended", seconds: seconds) { !isRunning }
    }

    /// - Parameter silence: Seconds without a line in its log after which it is given up: a busy machine makes it slow, not
    ///   silent.
    /// - Throws: Unless it ends with 0.
    func succeed(silence: Double) throws {
        while isRunning {
            let size = logSize
            try proveWait("\(name) has ended or told how far it is", seconds: silence) {
                !isRunning || logSize > size
            }
        }
        guard hasSucceeded else {
            throw ProveFailure("\(name) ended \(end ?? ""); the end of its log:\n\(logEnd)")
        }
    }

    private var logSize: UInt64 {
        (try? FileManager.default.attributesOfItem(atPath: log))?[.size] as? UInt64 ?? 0
    }

    var logEnd: String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }
}
