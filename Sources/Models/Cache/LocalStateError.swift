import GRDB

/// What went wrong with a database in the data directory, for those who do not know what it is kept in.
public struct LocalStateError: Error, Sendable, CustomStringConvertible {
    public let description: String
    /// Whether the same call may succeed later.
    public let isRetryable: Bool

    /// nil: an error of something else.
    public init?(_ error: any Error) {
        if let error = error as? StoredValueError {
            (description, isRetryable) = ("a record of the local state is damaged: \(error)", false)
            return
        }
        guard let error = error as? DatabaseError else { return nil }
        let reason = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
            description =
                "the data directory cannot be written (\(reason)): give its files to this service's user"
            isRetryable = false
        case .SQLITE_FULL:
            description = "the disk of the data directory is full (\(reason))"
            isRetryable = true
        case .SQLITE_IOERR where Self.wantsRoom(error.extendedResultCode):
            description = "the disk of the data directory is full, or fails (\(reason))"
            isRetryable = true
        case .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_IOERR:
            (description, isRetryable) = ("the local state cannot be used now: \(reason)", true)
        default: (description, isRetryable) = ("the local state fails: \(reason)", false)
        }
    }

    /// What SQLite says when the file beside the database that it shares with other processes cannot grow, among others.
    private static func wantsRoom(_ code: ResultCode) -> Bool {
        [.SQLITE_IOERR_SHMSIZE, .SQLITE_IOERR_WRITE, .SQLITE_IOERR_FSYNC].contains(code)
    }
}
