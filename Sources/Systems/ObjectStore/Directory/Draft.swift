import Glibc

/// A new object's file before it has its name; removed unless it was published.
struct Draft: ~Copyable {
    let tag: VersionTag
    private let path: String

    /// Writes the bytes to a file of their own in the folder that they are meant for, and to disk.
    init(_ bytes: [UInt8], in folder: String) throws(FileError) {
        var attempt = 1
        while true {
            let name =
                "\(DirectoryLayout.reservedPrefix)-\(String(UInt64.random(in: .min ... .max), radix: 36)).tmp"
            do throws(FileError) {
                try self.init(bytes, path: "\(folder)/\(name)")
                return
            } catch {
                // The folder is not there, or somebody who deleted its last object has just removed it.
                guard error.code == ENOENT || error.code == EEXIST, attempt < 1_000 else { throw error }
                try makeFolders(folder)
                attempt += 1
            }
        }
    }

    private init(_ bytes: [UInt8], path: String) throws(FileError) {
        let file = try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, action: "making the file")
        do throws(FileError) {
            try file.write(bytes)
            try file.stampTime()
            try file.sync()
            tag = try file.status().tag
            self.path = path
        } catch {
            unlink(path)
            throw error
        }
    }

    deinit { unlink(path) }  // without effect after a rename

    /// Gives the file its name.
    ///
    /// The caller holds the object's lock.
    /// - Returns: false when the condition does not hold.
    borrowing func publish(as target: String, if condition: PutCondition) throws(FileError) -> Bool {
        if condition == .absent { return try link(as: target) }
        if condition != .always {
            guard condition.holds(for: try FileStatus.of(target)) else { return false }
        }
        try rename(to: target)
        return true
    }

    private func rename(to target: String) throws(FileError) {
        if Glibc.rename(path, target) == 0 { return }
        // A folder of that name: it may have been left empty.
        if errno == EISDIR || errno == EEXIST || errno == ENOTEMPTY, rmdir(target) == 0,
            Glibc.rename(path, target) == 0
        {
            return
        }
        throw FileError("storing \(target)")
    }

    /// `link` fails when the name is taken, whoever took it; `rename` would replace it.
    private func link(as target: String) throws(FileError) -> Bool {
        if Glibc.link(path, target) == 0 { return true }
        let code = errno
        guard let status = try FileStatus.of(target) else {
            // A file system without links: the lock keeps others of us away.
            guard code == EPERM || code == EOPNOTSUPP || code == ENOSYS || code == EMLINK else {
                errno = code
                throw FileError("storing \(target)")
            }
            try rename(to: target)
            return true
        }
        guard status.isFolder else { return false }
        try rename(to: target)
        return true
    }
}

/// A file whose lock is held while this value lives, against other threads and processes alike.
struct LockFile: ~Copyable {
    private let file: OpenFile

    init(_ path: String) throws(FileError) {
        do {
            file = try OpenFile(path, O_RDWR | O_CREAT, action: "opening the lock file")
        } catch {
            guard error.code == ENOENT else { throw error }
            try makeFolders(parentFolder(of: path))
            file = try OpenFile(path, O_RDWR | O_CREAT, action: "opening the lock file")
        }
    }

    /// Tries to take the lock. `flock` belongs to this opening of the file, and the kernel drops it when it is closed.
    borrowing func isTaken() throws(FileError) -> Bool {
        if flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK || errno == EINTR else { throw FileError("locking") }
        return false
    }
}
