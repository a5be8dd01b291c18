import Crypto
import Exact
import Glibc

/// What a file begins with and what stands before a place in it: another file that came in its place has other bytes
/// there, whatever its name, size and time are.
struct FileMark: Codable, Sendable, Hashable {
    /// The place.
    let size: UInt64
    /// SHA-256 of the first bytes up to the place, and of the last before it.
    let head: String
    let tail: String

    private static let sampleBytes: UInt64 = 4096

    /// Of the file that is open: another one may have come to its path. One that has become shorter has a mark that no
    /// file has.
    ///
    /// nil for devices and pipes, and for an empty part.
    init?(_ descriptor: Int32, size: UInt64) {
        var status = stat()
        guard size > 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return nil
        }
        let count = min(size, Self.sampleBytes)
        let head = Self.hash(descriptor, at: 0, count: count)
        let tail = Self.hash(descriptor, at: size - count, count: count)
        self.size = size
        (self.head, self.tail) = head.flatMap { head in tail.map { (head, $0) } } ?? ("", "")
    }

    /// Whether the file at the path still has these bytes.
    func isStill(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return !head.isEmpty && FileMark(descriptor, size: size) == self
    }

    /// 0 for a file that is not there.
    static func size(_ path: String) -> UInt64 {
        var status = stat()
        let isFile = path != "-" && stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        return isFile ? UInt64(max(0, status.st_size)) : 0
    }

    /// Whether both paths lead to one file; devices may be read and written.
    static func isOneFile(_ path: String, _ other: String) -> Bool {
        var (one, two) = (stat(), stat())
        return path != "-" && other != "-" && stat(path, &one) == 0 && stat(other, &two) == 0
            && one.st_mode & S_IFMT == S_IFREG && one.st_dev == two.st_dev && one.st_ino == two.st_ino
    }

    private static func hash(_ descriptor: Int32, at offset: UInt64, count: UInt64) -> String? {
        var bytes = [UInt8](repeating: 0, count: Int(count))
        let isWhole = bytes.withUnsafeMutableBytes { bytes in
            pread(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) == bytes.count
        }
        return isWhole ? Hex.text(SHA256.hash(data: bytes)) : nil
    }
}
