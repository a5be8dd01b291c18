import Glibc

/// Goes through a directory's files in the order of their keys, folder by folder, and passes over folders that cannot
/// hold what is looked for.
struct DirectoryWalk {
    private(set) var found: [ObjectSummary] = []
    private let prefix: String
    private let after: String?
    private let limit: Int

    init(prefix: String, after: String?, limit: Int) {
        self.prefix = prefix
        self.after = after
        self.limit = limit
    }

    /// - Parameter keyPrefix: What the keys below the folder begin with: nothing, or a path that ends with a slash.
    mutating func visit(_ folder: String, keyPrefix: String) throws(FileError) {
        guard found.count < limit else { return }
        var entries: [Entry] = []
        try Self.readEntries(of: folder, keyPrefix: keyPrefix, into: &entries)
        // `a-b` comes before `a/b` and after `a`: a folder is sorted with its slash.
        entries.sort { $0.sortKey.precedesAsKey($1.sortKey) }
        for entry in entries where isWanted(entry) {
            guard found.count < limit else { return }
            if entry.isFolder {
                try visit(entry.path, keyPrefix: entry.sortKey)
            } else if ObjectKey.isValid(entry.sortKey), let status = try FileStatus.of(entry.path),
                status.isRegular
            {
                found.append(
                    ObjectSummary(key: entry.sortKey, sizeBytes: status.sizeBytes, tag: status.tag))
            }
        }
    }

    private func isWanted(_ entry: Entry) -> Bool {
        guard entry.isFolder else {
            return entry.sortKey.beginsAsKey(with: prefix) && after?.precedesAsKey(entry.sortKey) ?? true
        }
        guard entry.sortKey.beginsAsKey(with: prefix) || prefix.beginsAsKey(with: entry.sortKey) else {
            return false
        }
        guard let after else { return true }
        // Everything in the folder begins with its path: all before `after`, all behind it, or `after` is among it.
        return after.precedesAsKey(entry.sortKey) || after.beginsAsKey(with: entry.sortKey)
    }

    private struct Entry {
        let path: String
        let isFolder: Bool
        /// The key; a folder's with a slash behind it.
        let sortKey: String
    }

    /// Reads a folder, putting long segments together again.
    private static func readEntries(
        of folder: String, keyPrefix: String, into entries: inout [Entry]
    ) throws(FileError) {
        guard keyPrefix.utf8.count <= ObjectKey.maximumSize else { return }
        for (name, type) in try readNames(of: folder) {
            let path = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
            if name.utf8.starts(with: DirectoryLayout.partPrefix.utf8) {
                let part = name.dropFirst(DirectoryLayout.partPrefix.count)
                try readEntries(of: path, keyPrefix: keyPrefix + part, into: &entries)
                continue
            }
            let segment: Substring
            if name.utf8.starts(with: DirectoryLayout.lastPartPrefix.utf8) {
                segment = name.dropFirst(DirectoryLayout.lastPartPrefix.count)
            } else if name.utf8.starts(with: DirectoryLayout.reservedPrefix.utf8) {
                continue
            } else {
                segment = name[...]
            }
            let isFolder: Bool
            switch Int(type) {
            case Int(DT_DIR): isFolder = true
            case Int(DT_REG): isFolder = false
            // A link, or a file system that does not say.
            default: isFolder = try FileStatus.of(path)?.isFolder ?? false
            }
            entries.append(
                Entry(path: path, isFolder: isFolder, sortKey: keyPrefix + segment + (isFolder ? "/" : "")))
        }
    }

    /// Names and kinds of what is in a folder; nothing when there is no such folder.
    private static func readNames(of folder: String) throws(FileError) -> [(String, UInt8)] {
        guard let stream = opendir(folder) else {
            if errno == ENOENT || errno == ENOTDIR { return [] }
            throw FileError("listing \(folder)")
        }
        defer { closedir(stream) }
        var names: [(String, UInt8)] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            // A name that is no UTF-8 cannot be a key's.
            if let name, name != ".", name != ".." { names.append((name, entry.pointee.d_type)) }
        }
        guard errno == 0 else { throw FileError("listing \(folder)") }
        return names
    }
}
