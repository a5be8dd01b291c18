import Exact
import Lake
import ObjectStore
import Outcomes
import Transactions

/// What the transactions of a user turned out to be: those in the lake that somebody has labelled. Calls block.
public struct LabelledTransactions: Sendable {
    /// A transaction with what stands of it.
    public struct Row: Sendable, Hashable {
        public let transactionID: String
        /// Milliseconds since 1970 UTC, as `knownMilliseconds`.
        public let timestampMilliseconds: Int64
        public let isFraud: Bool
        public let knownMilliseconds: Int64
        /// Who said so; `transaction`: it came with its label.
        public let source: String

        public var place: Place {
            Place(timestampMilliseconds: timestampMilliseconds, transactionID: transactionID)
        }
    }

    /// Where a transaction stands among a user's, ascending by time and then by id.
    public struct Place: Sendable, Hashable, Comparable {
        /// Milliseconds since 1970 UTC.
        public let timestampMilliseconds: Int64
        public let transactionID: String

        public init(timestampMilliseconds: Int64, transactionID: String) {
            self.timestampMilliseconds = timestampMilliseconds
            self.transactionID = transactionID
        }

        public static func < (a: Self, b: Self) -> Bool {
            (a.timestampMilliseconds, a.transactionID) < (b.timestampMilliseconds, b.transactionID)
        }
    }

    private let reader: LakeReader
    private let book: LabelBook

    /// Days that are looked at unless somebody says which.
    public static let usualDays = 90
    private static let ownSource = "transaction"

    /// - Parameters:
    ///   - zone: Of times that do not say theirs.
    ///   - badFiles: What to do with files that cannot be read.
    public init(
        lake: any ObjectStore, book: LabelBook, zone: PlaceZone? = nil, badFiles: BadFiles = .fail
    ) {
        reader = LakeReader(store: lake, zone: zone).onBadFile(badFiles)
        self.book = book
    }

    /// The last day that the lake has; nil: it is empty.
    public func lastDay() throws -> LakeDay? { try reader.days().last }

    /// Newest first.
    ///
    /// - Parameters:
    ///   - from: First day; nil: `usualDays` up to the last.
    ///   - to: Last day; nil: the last that the lake has.
    ///   - before: Only rows before this place; nil: from the newest on.
    ///   - limit: Rows at most.
    public func of(
        user: String, from: LakeDay?, to: LakeDay?, before: Place? = nil, limit: Int
    ) throws -> [Row] {
        guard let last = try to ?? reader.days().last else { return [] }
        let first = from ?? last.adding(days: 1 - Self.usualDays)
        guard first <= last else {
            throw TrainingError.invalidRequest(field: "from", reason: "\(first) is after \(last)")
        }
        guard first.distance(to: last) < TrainingRequest.maximumDays else {
            throw TrainingError.invalidRequest(
                field: "from", reason: "at most \(TrainingRequest.maximumDays) days are looked at")
        }
        var found: [Candidate] = []
        try reader.scan(
            days: first...last, columns: TransactionColumns.required,
            optionalColumns: [TransactionColumns.label], userID: user
        ) { try Self.add($0, user: user, to: &found) }
        let standing = try book.standing(of: found.map { TextHash.hash($0.id) })
        let rows = found.compactMap { transaction -> Row? in
            if let label = standing[TextHash.hash(transaction.id)] {
                return Row(
                    transactionID: transaction.id, timestampMilliseconds: transaction.time,
                    isFraud: label.isFraud, knownMilliseconds: label.knownMilliseconds, source: label.source)
            }
            guard transaction.own >= 0 else { return nil }
            return Row(
                transactionID: transaction.id, timestampMilliseconds: transaction.time,
                isFraud: transaction.own == 1, knownMilliseconds: transaction.time, source: Self.ownSource)
        }
        return Array(
            rows.filter { row in before.map { row.place < $0 } ?? true }
                .sorted { $0.place > $1.place }.prefix(limit))
    }

    private struct Candidate {
        let id: String
        let time: Int64
        let own: Int8
    }

    private static func add(_ batch: RecordBatch, user: String, to found: inout [Candidate]) throws {
        let ids = try batch.texts(TransactionColumns.transactionID)
        let users = try batch.texts(TransactionColumns.userID)
        let times = try batch.readTimestamps(TransactionColumns.timestamp)
        let own = try batch.readLabels(TransactionColumns.label)
        for row in 0..<batch.count {
            let isTheirs = users.withBytes(row) { $0.map { $0.elementsEqual(user.utf8) } ?? false }
            let id = ids.withBytes(row) { $0.map { String(decoding: $0, as: UTF8.self) } }
            guard isTheirs, let id, times.hasValue(row) else { continue }
            found.append(Candidate(id: id, time: times.values[row], own: own.values[row]))
        }
    }
}
