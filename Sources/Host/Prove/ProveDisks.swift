import Foundation
import Glibc
import Synchronization

/// Small file systems in memory, one for the data directory of each worker, so that a disk can be full that is nobody
/// else's. Thread-safe: a signal's handler ends them too.
final class ProveDisks: Sendable {
    /// A worker of a proof needs a tenth of it.
    private static let sizeBytes = 48 << 20

    /// Why there are none: this process may not mount. nil: it may.
    let refusal: String?
    private let mounted = Mutex<[String]>([])

    /// Tries whether it may.
    ///
    /// - Parameter folder: Where it tries.
    init(folder: URL) {
        let probe = folder.appending(path: "disk").path
        do {
            try FileManager.default.createDirectory(atPath: probe, withIntermediateDirectories: true)
            try Self.mount(probe)
            _ = umount2(probe, Int32(MNT_DETACH))
            refusal = nil
        } catch {
            refusal = "\(error)"
        }
        try? FileManager.default.removeItem(atPath: probe)
    }

    private static func mount(_ path: String) throws {
        let status = "size=\(sizeBytes),mode=700".withCString { Glibc.mount("tmpfs", path, "tmpfs", 0, $0) }
        guard status == 0 else {
            throw ProveFailure("no file system can be mounted: \(String(cString: strerror(errno)))")
        }
    }

    /// Puts a file system of its own at a folder, which is made; once.
    func mount(at path: String) throws {
        guard refusal == nil else { return }
        try mounted.withLock { mounted in
            guard !mounted.contains(path) else { return }
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Self.mount(path)
            mounted.append(path)
        }
    }

    private static func ballast(_ path: String) -> String { path + "/ballast" }

    /// Takes all the room there is.
    func fill(_ path: String) throws {
        let descriptor = open(Self.ballast(path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ProveFailure("\(path) cannot be filled: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        let bytes = [UInt8](repeating: 7, count: 1 << 16)
        // The last of it in pages.
        for size in [bytes.count, 4_096] { while write(descriptor, bytes, size) == size {} }
        guard write(descriptor, bytes, 4_096) < 0, errno == ENOSPC else {
            throw ProveFailure("\(path) is not full: \(String(cString: strerror(errno)))")
        }
    }

    func free(_ path: String) { unlink(Self.ballast(path)) }

    /// What is on them is gone.
    func end() {
        mounted.withLock { mounted in
            for path in mounted { _ = umount2(path, Int32(MNT_DETACH)) }
            mounted = []
        }
    }
}
