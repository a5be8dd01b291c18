import Foundation
import Glibc

/// A library's bytes in a folder that only this process's user can write to.
///
/// Libraries are loaded from such copies, for three reasons: what was checked is what is loaded; overwriting a
/// library in place would pull the code from under a process that has it mapped; and `dlopen` gives the old
/// library for a path that it knows.
final class PrivateCopy: Sendable {
    let path: String
    private let folder: String

    /// Writes the bytes under their checksum. The file's neighbours are linked beside it, so that libraries
    /// that it looks for under `$ORIGIN` are found.
    ///
    /// - Parameters:
    ///   - isForAnotherUser: A process of another user loads it: everybody may read it.
    ///   - parent: Of the private folder.
    /// - Throws: `PluginRefusal`.
    init(
        of file: PluginFile, isForAnotherUser: Bool = false,
        in parent: String = FileManager.default.temporaryDirectory.path
    ) throws(PluginRefusal) {
        let template = parent + "/ml-service-plugin-XXXXXX"
        var name = Array(template.utf8CString)
        guard mkdtemp(&name) != nil else {
            throw PluginRefusal(
                path: file.path,
                reason: "no private folder for it: \(template): \(String(cString: strerror(errno)))")
        }
        folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = "\(folder)/lib\(file.sha256.prefix(16)).so"
        do {
            try file.bytes.write(to: URL(filePath: path))
        } catch {
            throw PluginRefusal(path: file.path, reason: "its private copy cannot be written: \(error)")
        }
        if isForAnotherUser {
            chmod(folder, 0o755)
            chmod(path, 0o644)
        }
        let original = URL(filePath: file.path).deletingLastPathComponent()
        let neighbours = (try? FileManager.default.contentsOfDirectory(atPath: original.path)) ?? []
        for neighbour in neighbours {
            // Best effort: a link that fails shows as a library that the loader then says it misses.
            _ = symlink(original.appending(path: neighbour).path, "\(folder)/\(neighbour)")
        }
    }

    /// What is mapped stays mapped.
    deinit { try? FileManager.default.removeItem(atPath: folder) }
}
