/// Which file holds which object.
///
/// A segment of a key is a file's or folder's name, as it is. A name has at most 255 bytes, a segment may have more:
/// then it is cut into parts of 200 bytes or a little less (so as not to cut a character in two), all but the last of
/// which are folders:
///
///     users/aaaa...aaab/v1.model  ->  users/.objectstore+aaaa...aaa/.objectstore=aaab/v1.model
///
/// Names that start with `.objectstore` are the store's own, and no segment may start so: the parts of long segments,
/// files that are being written (`.objectstore-1f3a.tmp`), and at the root the folder of lock files.
struct DirectoryLayout: Sendable {
    static let reservedPrefix = ".objectstore"
    static let partPrefix = ".objectstore+"
    static let lastPartPrefix = ".objectstore="
    static let lockFolder = ".objectstore"
    private static let partSize = 200
    private static let longestName = 255

    /// Absolute, without a slash at its end unless it is only that.
    let root: String

    /// The file that holds an object.
    ///
    /// - Throws: `.invalidKey`.
    func file(of key: String) throws(ObjectStoreError) -> String {
        guard ObjectKey.isValid(key) else { throw .invalidKey(key) }
        return try path(of: key)
    }

    /// The folder whose entries continue a valid prefix that is empty or ends with a slash.
    func folder(of prefix: String) throws(ObjectStoreError) -> String {
        prefix.isEmpty ? root : try path(of: String(prefix.dropLast()))
    }

    func lockFile(of key: String) -> String {
        // FNV-1a; a fixed hash, because other processes must come to the same file.
        var hash: UInt32 = 2_166_136_261
        for byte in key.utf8 { hash = (hash ^ UInt32(truncatingIfNeeded: byte)) &* 16_777_619 }
        return "\(root)/\(Self.lockFolder)/\(hash % 256).lock"
    }

    private func path(of key: String) throws(ObjectStoreError) -> String {
        var path = root == "/" ? "" : root
        for segment in key.split(separator: "/") {
            guard !segment.utf8.starts(with: Self.reservedPrefix.utf8) else { throw .invalidKey(key) }
            for name in Self.names(of: segment) {
                path += "/"
                path += name
            }
        }
        return path
    }

    private static func names(of segment: Substring) -> [String] {
        guard segment.utf8.count > longestName else { return [String(segment)] }
        var names: [String] = []
        var rest = Array(segment.utf8)
        while rest.count > partSize {
            var size = partSize
            // Not before a byte that continues a character.
            while rest[size] & 0xC0 == 0x80 { size -= 1 }
            names.append(partPrefix + String(decoding: rest[..<size], as: UTF8.self))
            rest.removeFirst(size)
        }
        return names + [lastPartPrefix + String(decoding: rest, as: UTF8.self)]
    }
}
