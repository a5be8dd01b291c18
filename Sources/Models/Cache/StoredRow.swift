import Foundation
import GRDB

/// A column that does not hold what it should: the file was damaged, or written by something else.
package struct StoredValueError: Error, CustomStringConvertible {
    let column: String
    let found: String

    package var description: String { "the column \(column) holds \(found)" }
}

/// Columns as they are in the file, whatever the table's definition promises.
///
/// `row["name"]` ends the process at a NULL, or at a text where a number should be. So rows of a file are read with
/// these alone; `scripts/lint` looks after that.
extension Row {
    /// - Throws: `StoredValueError` for a NULL, or another type.
    package func stored<Value: DatabaseValueConvertible>(
        _ column: String, as type: Value.Type = Value.self
    ) throws -> Value {
        guard let value: Value = try storedIfAny(column) else {
            throw StoredValueError(column: column, found: "NULL")
        }
        return value
    }

    /// - Returns: nil for a NULL.
    /// - Throws: `StoredValueError` for another type.
    package func storedIfAny<Value: DatabaseValueConvertible>(
        _ column: String, as type: Value.Type = Value.self
    ) throws -> Value? {
        guard hasColumn(column) else { throw StoredValueError(column: column, found: "nothing") }
        return try Self.value(self[column], column)
    }

    /// The same by the column's place, for rows that are read by the thousand.
    ///
    /// - Precondition: There are so many columns.
    package func storedIfAny<Value: DatabaseValueConvertible>(
        at index: Int, as type: Value.Type = Value.self
    ) throws -> Value? {
        try Self.value(self[index], "\(index)")
    }

    private static func value<Value: DatabaseValueConvertible>(
        _ stored: DatabaseValue, _ column: @autoclosure () -> String
    ) throws -> Value? {
        guard !stored.isNull else { return nil }
        // GRDB would take a text for bytes and bytes for a text; a condition on the column would not.
        guard stored.isKept(as: Value.self), let value = Value.fromDatabaseValue(stored) else {
            throw StoredValueError(column: column(), found: "\(stored)")
        }
        return value
    }

    /// A whole number within bounds.
    ///
    /// - Throws: `StoredValueError`.
    package func stored(_ column: String, in range: ClosedRange<Int>) throws -> Int {
        let value: Int = try stored(column)
        guard range.contains(value) else { throw StoredValueError(column: column, found: "\(value)") }
        return value
    }
}

extension DatabaseValue {
    fileprivate func isKept(as type: Any.Type) -> Bool {
        switch storage {
        case .null: false
        case .int64: type == Int.self || type == Int64.self || type == Double.self
        case .double: type == Double.self
        case .string: type == String.self
        case .blob: type == Data.self
        }
    }
}

/// Numbers of versions and of changes, wherever they are read: a number that is not in here was not ours, and adding to
/// one that is cannot overflow.
package enum ModelNumbers {
    package static let versions = 1...Int(Int32.max) - 1
    static let sequences = 0...Int(Int32.max) - 1
}
