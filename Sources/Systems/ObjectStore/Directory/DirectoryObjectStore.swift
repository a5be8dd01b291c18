import Foundation

/// Objects as files below a directory; `DirectoryLayout` says which.
///
/// Any number of threads and processes may use one directory at once. A write goes to a file of its own, then to disk,
/// then takes the object's name in one step, so that a reader, and a machine that loses its power, finds the old
/// object or the new one. Writers of one object take turns by a lock file that ends with its process. An object cannot
/// be named like a folder of others (`a` beside `a/b`), as it could in S3: such a write is refused.
///
/// A tag is made of inode, time of change in nanoseconds (set at each write) and size: writes never change a file
/// in place, so no two contents have the same, and no list has to read contents. Copying the directory changes tags.
public struct DirectoryObjectStore: ObjectStore {
    public let location: String
    let layout: DirectoryLayout

    /// How long a writer waits for another one of the same object.
    private static let lockTimeoutMilliseconds = 30_000

    /// - Parameter root: A path; it is made when something is first written, and is empty until then.
    public init(root: String) {
        var path = URL(fileURLWithPath: root).standardizedFileURL.path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        layout = DirectoryLayout(root: path)
        location = path
    }

    // MARK: Reading

    public func get(_ key: String, maximumSize: Int) throws(ObjectStoreError) -> StoredObject? {
        let path = try layout.file(of: key)
        let found = try filing { () throws(FileError) in
            try reading(path) { file, status throws(FileError) -> (object: StoredObject?, sizeBytes: Int) in
                guard status.sizeBytes <= maximumSize else { return (nil, status.sizeBytes) }
                let bytes = try file.read(offset: 0, count: status.sizeBytes)
                return (StoredObject(bytes: bytes, tag: status.tag), status.sizeBytes)
            }
        }
        guard let found else { return nil }
        guard let object = found.object else {
            throw .tooLarge(key: key, sizeBytes: found.sizeBytes, maximumSize: maximumSize)
        }
        return object
    }

    public func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        let path = try layout.file(of: key)
        let found = try filing { () throws(FileError) in
            try reading(path) { file, status throws(FileError) -> (bytes: [UInt8]?, sizeBytes: Int) in
                let isInside = range.lowerBound >= 0 && range.upperBound <= status.sizeBytes
                let bytes = isInside ? try file.read(offset: range.lowerBound, count: range.count) : nil
                return (bytes, status.sizeBytes)
            }
        }
        guard let found else { throw .notFound(key: key) }
        guard let bytes = found.bytes, bytes.count == range.count else {
            throw .failed(
                location: location, reason: "\(key) has \(found.sizeBytes) bytes, \(range) were asked for")
        }
        return bytes
    }

    public func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? {
        let path = try layout.file(of: key)
        let status = try filing { () throws(FileError) in try FileStatus.of(path) }
        guard let status, status.isRegular else { return nil }
        return ObjectSummary(key: key, sizeBytes: status.sizeBytes, tag: status.tag)
    }

    public func list(
        prefix: String, after: String?, limit: Int
    ) throws(ObjectStoreError) -> [ObjectSummary] {
        guard ObjectKey.isValidPrefix(prefix) else { throw .invalidKey(prefix) }
        var walk = DirectoryWalk(prefix: prefix, after: after, limit: limit)
        // From the folder that the whole segments of the prefix name.
        let start = prefix.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(prefix[...$0]) } ?? ""
        let folder = try layout.folder(of: start)
        try filing { () throws(FileError) in try walk.visit(folder, keyPrefix: start) }
        return walk.found
    }

    // MARK: Writing

    @discardableResult
    public func put(
        _ key: String, _ bytes: [UInt8], if condition: PutCondition
    ) throws(ObjectStoreError) -> VersionTag {
        let path = try layout.file(of: key)
        let folder = parentFolder(of: path)
        let outcome = try filing { () throws(FileError) -> (isDone: Bool, tag: VersionTag?) in
            // Most writes that must fail do so here, before anything is written.
            guard condition.holds(for: try FileStatus.of(path)) else { return (false, nil) }
            let draft = try Draft(bytes, in: folder)
            let lock = try lock(key)
            defer { withExtendedLifetime(lock) {} }
            let isDone = try draft.publish(as: path, if: condition)
            return (isDone, draft.tag)
        }
        guard outcome.isDone, let tag = outcome.tag else { throw .preconditionFailed(key: key) }
        try filing { () throws(FileError) in try syncFolderIfThere(folder) }
        return tag
    }

    public func delete(_ key: String) throws(ObjectStoreError) {
        let path = try layout.file(of: key)
        try filing { () throws(FileError) in
            guard let status = try FileStatus.of(path), status.isRegular else { return }
            let lock = try lock(key)
            defer { withExtendedLifetime(lock) {} }
            guard unlink(path) == 0 || errno == ENOENT else { throw FileError("removing \(path)") }
            // Folders that held nothing else go too: S3 has no folders, and an object may be named like one later.
            var folder = parentFolder(of: path)
            while folder != layout.root, rmdir(folder) == 0 { folder = parentFolder(of: folder) }
            try syncFolderIfThere(folder)
        }
    }

    // MARK: Support

    /// Opens a file and reads from it; nil when there is none.
    private func reading<Result>(
        _ path: String, _ body: (borrowing OpenFile, FileStatus) throws(FileError) -> Result
    ) throws(FileError) -> Result? {
        do {
            // O_NONBLOCK: what is no file, a pipe for one, must not hold up the thread.
            let file = try OpenFile(path, O_RDONLY | O_NONBLOCK, action: "opening")
            let status = try file.status()
            return status.isRegular ? try body(file, status) : nil
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR { return nil }
            throw error
        }
    }

    /// Waits for the lock of an object's writers; it ends with the value that is returned.
    private func lock(_ key: String) throws(FileError) -> LockFile {
        let path = layout.lockFile(of: key)
        var waitedMilliseconds = 0
        let lock = try LockFile(path)
        while !(try lock.isTaken()) {
            guard waitedMilliseconds < Self.lockTimeoutMilliseconds else {
                errno = ETIMEDOUT
                throw FileError("waiting for the writer that holds \(path)")
            }
            // Held for a rename only, so rarely for more than the first wait.
            let pause = min(20, 1 + waitedMilliseconds / 4)
            usleep(UInt32(pause) * 1000)  // fits: 20 ms at most
            waitedMilliseconds += pause
        }
        return lock
    }

    private func filing<Result>(
        _ body: () throws(FileError) -> Result
    ) throws(ObjectStoreError) -> Result {
        do throws(FileError) {
            return try body()
        } catch {
            throw error.asStoreError(location: location)
        }
    }
}

extension PutCondition {
    /// Whether a write may go ahead over what is there.
    func holds(for status: FileStatus?) -> Bool {
        switch self {
        case .always: true
        case .absent: status == nil || status?.isFolder == true
        case .unchanged(let tag): status?.isRegular == true && status?.tag == tag
        }
    }
}
