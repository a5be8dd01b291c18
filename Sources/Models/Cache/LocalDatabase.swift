import GRDB

/// A database in the data directory, which overwrites what is deleted. What goes wrong with it is a `LocalStateError` that
/// names its file; errors of others pass through. Thread-safe; calls block.
package final class LocalDatabase: Sendable {
    /// nil: in memory.
    private let path: String?
    private let writer: any DatabaseWriter

    /// Opens the file, makes it where it is not there, and brings its tables up to date.
    ///
    /// - Parameters:
    ///   - path: nil: in memory.
    ///   - hasReaders: Reads go on while something is written, by a write-ahead log.
    ///   - prepare: What each connection begins with.
    /// - Throws: `LocalStateError`.
    package init(
        path: String?, hasReaders: Bool = false, migrator: DatabaseMigrator,
        prepare: (@Sendable (Database) throws -> Void)? = nil
    ) throws {
        self.path = path
        writer = try Self.naming(path) {
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            configuration.prepareDatabase { db in
                // Any row may name a user who is erased later, when its bytes are found by nobody any more.
                try db.execute(sql: "PRAGMA secure_delete = ON")
                try prepare?(db)
            }
            let writer: any DatabaseWriter =
                switch path {
                case let path? where hasReaders: try DatabasePool(path: path, configuration: configuration)
                case let path?: try DatabaseQueue(path: path, configuration: configuration)
                case nil: try DatabaseQueue(configuration: configuration)
                }
            try migrator.migrate(writer)
            return writer
        }
    }

    package func read<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.naming(path) { try writer.read(body) }
    }

    /// Without a transaction around it.
    package func unsafeRead<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.naming(path) { try writer.unsafeRead(body) }
    }

    package func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.naming(path) { try writer.write(body) }
    }

    package func writeWithoutTransaction<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.naming(path) { try writer.writeWithoutTransaction(body) }
    }

    func close() throws { try writer.close() }

    private static func naming<Value>(_ path: String?, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            if let named = LocalStateError(error, path: path) { throw named }
            throw error
        }
    }
}
