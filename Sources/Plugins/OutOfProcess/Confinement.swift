import CProcess
import Foundation
import Glibc

/// What a detector's process can do besides computing: nothing, where the kernel allows that to be arranged.
struct Confinement: Sendable, Hashable {
    /// Why the process may open what this service's user may; nil: it may not.
    var filesFailure: Int32?
    /// Why the process may use the network and start others; nil: it may not.
    var callsFailure: Int32?
    /// Why the process is root, as the service is; nil: it is nobody, or the service's own user is no root.
    var userFailure: Int32?

    /// Lines for people, one for each thing that could not be arranged.
    var complaints: [String] {
        func text(_ error: Int32) -> String { String(cString: strerror(error)) }
        return [
            filesFailure.map {
                "it may read and write the files of the service's user (Landlock: \(text($0)))"
            },
            callsFailure.map { "it may use the network and start processes (seccomp: \(text($0)))" },
            userFailure.map { "it is root, as the service is (setuid: \(text($0)))" },
        ].compactMap(\.self)
    }

    /// As two words of a message.
    var words: (UInt64, UInt64) {
        (Self.word(filesFailure), Self.word(callsFailure) | Self.word(userFailure) << 32)
    }

    init(files: UInt64, calls: UInt64) {
        filesFailure = Self.failure(files)
        callsFailure = Self.failure(calls & 0xFFFF_FFFF)
        userFailure = Self.failure(calls >> 32)
    }

    private static func word(_ failure: Int32?) -> UInt64 { UInt64(max(failure ?? 0, 0)) }

    private static func failure(_ word: UInt64) -> Int32? { word == 0 ? nil : Int32(clamping: word) }

    /// Confines this process, whose plugin is not loaded yet, by beginning it anew.
    ///
    /// Landlock binds the thread that asks and those that it starts, not those that the language's runtime has started
    /// before; a program that this thread executes has no others.
    ///
    /// What the process may read is the plugin's library with those beside it, the system's libraries and the language's
    /// runtime, and what it has loaded itself.
    ///
    /// - Parameters:
    ///   - library: The private copy; neighbours are links to where they lie.
    ///   - arguments: Of this process, as it was started.
    /// - Returns: Why it could not begin anew, an errno. Where it could, it has one more argument, the errno of this part.
    static func beginConfined(library: String, arguments: [String]) -> Int32 {
        guard let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        else { return errno }
        let files = withPaths([executable] + readable(library)) { process_confine_files($0) }
        return withPaths(arguments + ["\(files)"]) { words in
            var words = words.map { UnsafeMutablePointer(mutating: $0) }
            execv("/proc/self/exe", &words)
            return errno
        }
    }

    /// The second part.
    ///
    /// - Parameter filesFailure: Why the first one failed; 0: it has not.
    init(filesFailure files: Int32) {
        let user = Self.becomeNobody()
        let calls = process_confine_calls()
        userFailure = user == 0 ? nil : user
        filesFailure = files == 0 ? nil : files
        callsFailure = calls == 0 ? nil : calls
    }

    /// The user that owns nothing, on every system that has kept to it. Its name is in a file that this process may not read.
    private static let nobody: uid_t = 65_534

    /// Root becomes nobody, and cannot go back. Another user stays who it is: only root may be somebody else.
    ///
    /// - Returns: Why it could not, an errno, or 0.
    private static func becomeNobody() -> Int32 {
        guard geteuid() == 0 else { return 0 }
        // Of root they set the saved ids too, so that there is no way back.
        guard setgroups(0, nil) == 0, setgid(nobody) == 0, setuid(nobody) == 0 else { return errno }
        return 0
    }

    private static func readable(_ library: String) -> [String] {
        let folder = URL(filePath: library).deletingLastPathComponent()
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let neighbours = entries.compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: folder.appending(path: $0).path)
        }
        // Libraries beside it, not whatever else may lie in that folder.
        let libraries = neighbours.filter { $0.contains(".so") }
        return Array(
            Set(
                [
                    folder.path, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib",
                    "/etc/ld.so.cache",
                    "/dev/urandom", "/sys/devices/system/cpu",
                ] + libraries)
        ).sorted()
    }

    private static func withPaths(_ paths: [String], _ body: ([UnsafePointer<CChar>?]) -> Int32) -> Int32 {
        let words = paths.map { strdup($0) }
        defer { for word in words { free(word) } }
        return body(words.map { $0.map { UnsafePointer($0) } } + [nil])
    }
}
