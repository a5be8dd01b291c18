import Retrying

/// What is wrong with a file of the lake or a table. A store that fails throws its own `ObjectStoreError`.
public enum LakeError: Retryable, Sendable, Hashable, CustomStringConvertible {
    /// Truncated, overwritten or no Parquet file at all.
    case damaged(file: String, reason: String)
    /// Replaced by another while it was being read.
    case changed(file: String)
    /// `existing`: the columns that the file has, where a person chose the name.
    case missingColumn(file: String, column: String, existing: [String] = [])
    /// The column is there, but not of a type that can be read as asked.
    case wrongType(file: String, column: String, reason: String)
    /// `row` counts from 0, in the file.
    case badValue(file: String, column: String, row: Int, reason: String)
    /// `line` counts from 1, the header included.
    case badLine(file: String, line: Int, reason: String)
    /// The file would take more memory than one file may.
    case tooLarge(file: String, reason: String)
    /// A local file that cannot be opened.
    case unreadable(file: String, reason: String)
    /// Rows that do not fit the columns they are written to.
    case unwritable(reason: String)
    case cancelled

    /// Whether reading again can help.
    public var isRetryable: Bool {
        if case .changed = self { true } else { false }
    }

    /// Whether the file itself is at fault, so that others can be read all the same.
    public var isOfFile: Bool {
        switch self {
        case .damaged, .missingColumn, .wrongType, .badValue, .badLine, .tooLarge, .unreadable: true
        case .changed, .unwritable, .cancelled: false
        }
    }

    public var description: String {
        switch self {
        case .damaged(let file, let reason): "\(file) is no sound Parquet file: \(reason); write it again"
        case .changed(let file): "\(file) was replaced while it was being read; read it again"
        case .missingColumn(let file, let column, let existing):
            "\(file) has no column '\(column)'" + (existing.isEmpty ? "" : "; it has \(Self.list(existing))")
        case .wrongType(let file, let column, let reason): "column '\(column)' of \(file) \(reason)"
        case .badValue(let file, let column, let row, let reason):
            "column '\(column)' of \(file), row \(row) from 0: \(reason)"
        case .badLine(let file, let line, let reason): "\(file), line \(line): \(reason)"
        case .tooLarge(let file, let reason): "\(file) takes too much memory: \(reason)"
        case .unreadable(let file, let reason): "\(file) cannot be read: \(reason)"
        case .unwritable(let reason): "rows that cannot be written: \(reason)"
        case .cancelled: "cancelled"
        }
    }

    private static func list(_ names: [String]) -> String {
        let shown = names.prefix(20).joined(separator: ", ")
        return names.count > 20 ? "\(shown) and \(names.count - 20) more" : shown
    }
}
