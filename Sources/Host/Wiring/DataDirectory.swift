import Foundation
import Glibc

/// The folder of a process's local state; one process at a time.
final class DataDirectory: Sendable {
    let path: String
    private let descriptor: Int32

    /// Makes the folder and locks it.
    ///
    /// - Throws: `UsageError` when another process has it.
    init(_ path: String) throws {
        self.path = path
        try Self.make(path)
        descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw UsageError(
                "the data directory \(path) cannot be written (\(String(cString: strerror(errno)))): "
                    + "give it to this service's user, or name another one (--data)")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw UsageError(
                "another ml-service uses the data directory \(path): stop it, or name another one (--data)")
        }
    }

    deinit { close(descriptor) }

    /// Makes the folder if there is none, for its user alone: transactions and models lie in it.
    ///
    /// - Throws: `UsageError`.
    static func make(_ path: String) throws {
        do {
            try makeParent(of: path)
        } catch {
            throw UsageError("the data directory \(path) cannot be made: \(error.localizedDescription)")
        }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw UsageError(
                "the data directory \(path) cannot be made: \(String(cString: strerror(errno)))")
        }
    }

    static func makeParent(of path: String) throws {
        try FileManager.default.createDirectory(
            at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
    }

    func file(_ name: String) -> String { path + "/" + name }

    /// A name for this worker that outlives its process: random, made at the first start.
    func instance() throws -> String {
        let file = file("instance")
        if let known = try? String(contentsOfFile: file, encoding: .utf8), !known.isEmpty { return known }
        let made = UUID().uuidString.lowercased()
        try made.write(toFile: file, atomically: true, encoding: .utf8)
        return made
    }
}
