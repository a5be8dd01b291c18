import GRDB

/// What went wrong with a database in the data directory, for those who do not know what it is kept in: which file, and what
/// to do.
public struct LocalStateError: Error, Sendable, CustomStringConvertible {
    public let description: String
    /// Whether the same call may succeed later.
    public let isRetryable: Bool
    /// What SQLite said; nil: a record of ours is damaged.
    package let code: ResultCode?

    /// - Parameter path: The file; nil: it is in memory, or not known.
    /// - Returns: nil: an error of something else.
    public init?(_ error: any Error, path: String? = nil) {
        let file = path ?? "a database of the data directory"
        switch error {
        case let error as LocalStateError: self = error
        case let error as StoredValueError:
            (description, isRetryable, code) = ("\(file): a record is damaged: \(error)", false, nil)
        case let error as DatabaseError:
            code = error.resultCode
            (description, isRetryable) = Self.meaning(of: error, file)
        default: return nil
        }
    }

    private static func meaning(of error: DatabaseError, _ file: String) -> (String, isRetryable: Bool) {
        let reason = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
            return (
                "the data directory cannot be written, at \(file) (\(reason)): give its files to this service's user, or "
                    + "name another one (--data)", false
            )
        case .SQLITE_FULL:
            return ("the disk of the data directory is full, at \(file) (\(reason)): make room there", true)
        case .SQLITE_IOERR where wantsRoom(error.extendedResultCode):
            return (
                "the disk of the data directory is full, or fails, at \(file) (\(reason)): make room there",
                true
            )
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return (
                "\(file) is used by another process (\(reason)): end that one, or name another data directory (--data)",
                true
            )
        case .SQLITE_IOERR: return ("\(file) cannot be read or written now: \(reason)", true)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            return (
                "\(file) is damaged (\(reason)): end this service, move the file and its -wal and -shm away, and start again; "
                    + "it is made anew, without what was in it", false
            )
        default: return ("\(file) fails: \(reason)", false)
        }
    }

    /// What SQLite says when the file beside the database that it shares with other processes cannot grow, among others.
    private static func wantsRoom(_ code: ResultCode) -> Bool {
        [.SQLITE_IOERR_SHMSIZE, .SQLITE_IOERR_WRITE, .SQLITE_IOERR_FSYNC].contains(code)
    }

    /// The file is no database, or no longer one.
    var isDamage: Bool { code.map { [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains($0) } ?? false }
}
