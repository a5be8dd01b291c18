import Crypto
import Exact
import Foundation
import Glibc

/// A library's bytes as they were when it was looked at, and their checksum.
struct PluginFile {
    /// 512 MiB; a plugin is a few.
    static let maximumSize = 512 << 20

    let path: String
    let bytes: Data
    /// Hexadecimal.
    let sha256: String

    /// Reads the file once; what is checked, probed and loaded afterwards are these bytes.
    ///
    /// - Throws: `PluginRefusal` for a file that cannot be read, is no regular file (a pipe would block) or is
    ///   too large.
    init(path: String) throws(PluginRefusal) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(errno))
            let closed = Self.closedFolder(above: path).map { "; this process may not enter \($0)" } ?? ""
            throw PluginRefusal(path: path, reason: "it cannot be read: \(reason)\(closed)")
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw PluginRefusal(path: path, reason: "it is not a regular file")
        }
        guard status.st_size <= Self.maximumSize else {
            throw PluginRefusal(path: path, reason: "it has more than \(Self.maximumSize >> 20) MiB")
        }
        do {
            bytes = try handle.read(upToCount: Self.maximumSize) ?? Data()
        } catch {
            throw PluginRefusal(path: path, reason: "it cannot be read: \(error)")
        }
        sha256 = Hex.text(SHA256.hash(data: bytes))
    }

    /// The first folder on the way to a file that this process may not enter; nil: there is none.
    private static func closedFolder(above path: String) -> String? {
        var folder = ""
        for part in path.split(separator: "/").dropLast() {
            folder += "/\(part)"
            if faccessat(AT_FDCWD, folder, X_OK, AT_EACCESS) != 0, errno == EACCES { return folder }
        }
        return nil
    }

    /// The stamp, when this host may load the library.
    ///
    /// - Throws: `PluginRefusal` that names every field that differs; `ELFError` for what is no plugin at all.
    func checkedStamp() throws -> PluginStamp {
        let stamp = try bytes.withUnsafeBytes { bytes throws(ELFError) in try PluginStamp(of: bytes) }
        let differences = stamp.differences(from: .host)
        guard differences.isEmpty else {
            throw PluginRefusal(
                path: path,
                reason: differences.joined(separator: "; ") + ". Build it again with this host's toolchain "
                    + "and DetectorAPI")
        }
        return stamp
    }
}
