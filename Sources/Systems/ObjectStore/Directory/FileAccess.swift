import Glibc

/// A system call that failed.
struct FileError: Error {
    let code: Int32
    let action: String

    /// Of the call that has just failed.
    init(_ action: String) {
        code = errno
        self.action = action
    }

    func asStoreError(location: String) -> ObjectStoreError {
        let reason = "\(action): \(String(cString: strerror(code)))"
        switch code {
        case EACCES, EPERM, EROFS: return .denied(location: location, reason: reason)
        case EMFILE, ENFILE, ENOMEM, EINTR, ESTALE, ETIMEDOUT, EAGAIN:
            return .unavailable(location: location, reason: reason)
        default: return .failed(location: location, reason: reason)
        }
    }
}

/// An open file, closed with its owner. Used by one thread.
struct OpenFile: ~Copyable {
    let descriptor: Int32

    /// - Throws: `FileError`; `ENOENT` and the like are the caller's to understand.
    init(_ path: String, _ flags: Int32, action: String) throws(FileError) {
        descriptor = open(path, flags | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError("\(action) \(path)") }
    }

    deinit { close(descriptor) }

    func status() throws(FileError) -> FileStatus {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileError("reading a file's size") }
        return FileStatus(status)
    }

    /// - Returns: Fewer bytes than asked for when the file ends before.
    func read(offset: Int, count: Int) throws(FileError) -> [UInt8] {
        var failure: FileError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let size = pread(
                    descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset + filled))
                if size == 0 { return }
                if size > 0 {
                    filled += size
                } else if errno != EINTR {
                    failure = FileError("reading")
                    return
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }

    func write(_ bytes: [UInt8]) throws(FileError) {
        var written = 0
        while written < bytes.count {
            let size = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
            }
            if size >= 0 {
                written += size
            } else if errno != EINTR {
                throw FileError("writing")
            }
        }
    }

    /// Sets the time of change to now in nanoseconds. The kernel's own stamps step by milliseconds.
    func stampTime() throws(FileError) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let times = [now, now]
        guard futimens(descriptor, times) == 0 else { throw FileError("setting a file's time") }
    }

    /// Waits until the disk has it.
    func sync() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError("writing to disk") }
    }
}

/// What names one content of one file at one time.
struct FileStatus {
    let isRegular: Bool
    let isFolder: Bool
    let sizeBytes: Int
    let tag: VersionTag

    init(_ status: stat) {
        isRegular = status.st_mode & S_IFMT == S_IFREG
        isFolder = status.st_mode & S_IFMT == S_IFDIR
        sizeBytes = Int(status.st_size)
        // A file may be dated to any year; the number has to differ, not to be right.
        let changed = Int(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int(status.st_mtim.tv_nsec)
        tag = VersionTag(
            "\(String(status.st_ino, radix: 16))-\(String(changed, radix: 16))-\(String(status.st_size, radix: 16))"
        )
    }

    /// nil when there is nothing of that name.
    static func of(_ path: String) throws(FileError) -> FileStatus? {
        var status = stat()
        if stat(path, &status) == 0 { return FileStatus(status) }
        // ELOOP: a link that leads to itself.
        guard errno == ENOENT || errno == ENOTDIR || errno == ELOOP else {
            throw FileError("looking for \(path)")
        }
        return nil
    }
}

/// Makes a folder and those above it, and has the disk remember them.
func makeFolders(_ path: String) throws(FileError) {
    // A neighbour's delete may take the parent away again between two steps: then begin anew, but not for ever.
    for _ in 0..<1_000 {
        if mkdir(path, 0o777) == 0 { return try syncFolderIfThere(parentFolder(of: path)) }
        if errno == EEXIST { return }
        guard errno == ENOENT, path != "/", !path.isEmpty else { break }
        try makeFolders(parentFolder(of: path))
    }
    throw FileError("making the folder \(path)")
}

/// Has the disk remember which files a folder holds. Somebody else may have removed the folder with its last object.
func syncFolderIfThere(_ path: String) throws(FileError) {
    do {
        try OpenFile(path, O_RDONLY | O_DIRECTORY, action: "opening the folder").sync()
    } catch {
        guard error.code == ENOENT else { throw error }
    }
}

func parentFolder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}
