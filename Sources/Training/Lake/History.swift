import Outcomes

/// What the lake has of the days in range and the warm-up days before: rows in parts by user.
///
/// All rows of a user are in one part, so that parts can be worked on one by one, each in bounded memory.
struct History: Sendable {
    let parts: SpillFiles
    let users: HistoryUsers
    let categories: CategoryNames
    /// First and last event time of the rows in range; nil when there are none.
    let span: ClosedRange<Int64>?
    /// Rows in range.
    let rowCount: Int
    /// Labels of them, of those known.
    let known: KnownLabels
    /// Rows of files in range whose time lies outside the range and its warm-up days.
    let strayRows: Int
    /// Rows that are no transactions.
    let passedOver: PassedOverRows
    /// Whether each row of a part is followed by what reference tables said of it.
    let hasReferences: Bool
    let reading: LakeReading
    /// A transaction up to then that nobody has labelled counts as genuine. Milliseconds since 1970 UTC.
    let genuineUntil: Int64
    /// Both of each user apart, where only some users' rows were read: who else was asked for is chance.
    let labelsOfUser: [UInt32: LabelsOfUser]?

    struct LabelsOfUser: Sendable {
        var known = KnownLabels()
        var genuineUntil = Int64.min
    }

    /// A user's part is the catalogue's shard of the user, see `HistoryUsers.spillKey`.
    static let partCount = 256
    /// Of a part: all rows of a user are in one piece, and a piece is what has to be in memory at a time. Of a million users
    /// with 200 rows one has 20 MB.
    static let pieceCount = 4

    /// Reads a piece of a part, which is then gone. May be called by several threads at once.
    func takePiece(_ piece: Int, ofPart part: Int) throws -> HistoryPart {
        let key = part * Self.pieceCount + piece
        var taken = try hasReferences ? takeWithReferences(key) : HistoryPart(rows: takeRows(key))
        for row in taken.rows.indices where taken.rows[row].label < 0 {
            let until = labelsOfUser.map { $0[taken.rows[row].user]?.genuineUntil ?? .min } ?? genuineUntil
            if taken.rows[row].timestampMilliseconds <= until { taken.rows[row].label = 0 }
        }
        return taken
    }

    /// Calls `body` with each piece of each part.
    func takeAll(_ body: (HistoryPart) throws -> Void, progress: (Double) -> Void = { _ in }) throws {
        for part in 0..<Self.partCount {
            for piece in 0..<Self.pieceCount { try body(takePiece(piece, ofPart: part)) }
            progress(Double(part + 1) / Double(Self.partCount))
        }
    }

    /// A file's bytes go where they are to be, without being copied.
    private func takeRows(_ key: Int) throws -> [HistoryRow] {
        try parts.takeWhole(key) { bytes, fill in
            let count = bytes / MemoryLayout<HistoryRow>.stride
            return try [HistoryRow](unsafeUninitializedCapacity: count) { rows, initialized in
                try fill(
                    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(rows)[..<bytes]))
                initialized = count
            }
        }
    }

    private func takeWithReferences(_ key: Int) throws -> HistoryPart {
        let (stride, width) = (MemoryLayout<HistoryRow>.stride, ReferencePast.width)
        let size = stride + width * MemoryLayout<Float>.size
        var taken = HistoryPart()
        let count = parts.count(key) / size
        taken.rows.reserveCapacity(count)
        taken.references.reserveCapacity(count * width)
        try parts.take(key) { bytes in
            for offset in Swift.stride(from: 0, to: bytes.count, by: size) {
                taken.rows.append(bytes.loadUnaligned(fromByteOffset: offset, as: HistoryRow.self))
                for place in 0..<width {
                    taken.references.append(
                        bytes.loadUnaligned(
                            fromByteOffset: offset + stride + place * MemoryLayout<Float>.size, as: Float.self
                        ))
                }
            }
        }
        return taken
    }
}

/// How many rows somebody has labelled.
struct KnownLabels: Sendable, Hashable {
    private(set) var frauds = 0
    private(set) var genuine = 0

    mutating func add(_ label: Int32) {
        if label > 0 { frauds += 1 } else if label == 0 { genuine += 1 }
    }

    /// For the artifact's header and the job's answer.
    var metrics: [String: Double] {
        ["labelled_frauds": Double(frauds), "labelled_genuine": Double(genuine)]
    }
}

/// Rows of some users, with `ReferencePast.width` reference features each, or none at all.
struct HistoryPart: Sendable {
    var rows: [HistoryRow] = []
    var references: [Float] = []

    /// One user's rows.
    struct OfUser: Sendable {
        /// In `HistoryUsers`.
        let number: UInt32
        let rows: HistoryPart
        /// Labels of those in range.
        let known: KnownLabels
    }

    /// The rows of each user apart, by the users' numbers.
    func byUser(
        _ labels: [UInt32: History.LabelsOfUser]?, where isWanted: (UInt32) -> Bool
    ) -> [OfUser] {
        let width = ReferencePast.width
        var parts: [UInt32: HistoryPart] = [:]
        for (index, row) in rows.enumerated() {
            parts[row.user, default: HistoryPart()].rows.append(row)
            guard !references.isEmpty else { continue }
            parts[row.user, default: HistoryPart()].references.append(
                contentsOf: references[index * width..<(index + 1) * width])
        }
        return parts.filter { isWanted($0.key) }.map { number, rows in
            OfUser(number: number, rows: rows, known: labels?[number]?.known ?? KnownLabels())
        }.sorted { $0.number < $1.number }
    }
}

/// What threads that work on parts share; immutable.
struct HistoryNames: Sendable {
    let users: HistoryUsers
    let categories: CategoryNames
    let span: ClosedRange<Int64>?

    init(_ history: History) {
        users = history.users
        categories = history.categories
        span = history.span
    }
}
