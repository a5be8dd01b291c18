import Lake

/// The labels that were known at a moment, by transaction: later ones are as if they did not exist. Immutable.
///
/// 24 bytes a label.
public struct LabelIndex: Sendable {
    private let rows: [LabelFiles.Row]
    /// Labels known later than this are not in it. Milliseconds since 1970 UTC.
    public let asOfMilliseconds: Int64

    /// Reads the labels that became known up to a moment.
    ///
    /// - Parameter first: Labels that became known before this day are left out.
    public init(
        _ files: LabelFiles, from first: LakeDay = LabelFiles.allDays.lowerBound, asOf: Int64,
        isCancelled: () -> Bool = { false }
    ) throws {
        var rows: [LabelFiles.Row] = []
        var reading = ScanStatistics()
        let last = min(
            LakeDay(epochMilliseconds: min(asOf, 7_258_118_399_999)), LabelFiles.allDays.upperBound)
        if first <= last {
            reading = try files.read(try files.files(in: first...last), isCancelled: isCancelled) { row in
                if row.knownAt <= asOf { rows.append(row) }
            }
        }
        self.init(rows: rows, asOf: asOf)
        self.reading = reading
    }

    /// Of the files that it was read from, those that were left out among them.
    public private(set) var reading = ScanStatistics()

    /// The same of labels that are at hand.
    public init(rows: [LabelFiles.Row], asOf: Int64) {
        asOfMilliseconds = asOf
        latestKnownAt = rows.lazy.map(\.knownAt).filter { $0 <= asOf }.max()
        self.rows = rows.filter { $0.knownAt <= asOf }.sorted { a, b in
            if a.transaction != b.transaction { return a.transaction < b.transaction }
            return Label.precedes((a.knownAt, a.isFraud), (b.knownAt, b.isFraud))
        }
    }

    public static let none = LabelIndex(rows: [], asOf: .max)

    public var count: Int { rows.count }
    /// When the latest of them became known; nil: there are none.
    public let latestKnownAt: Int64?
    public var isEmpty: Bool { rows.isEmpty }

    /// All labels of a transaction, in the order in which they became known; the last one stands.
    public func history(of transaction: UInt64) -> ArraySlice<LabelFiles.Row> {
        let start = firstIndex(of: transaction)
        return rows[start...].prefix { $0.transaction == transaction }
    }

    /// What stands; nil: nobody has said.
    public func isFraud(_ transaction: UInt64) -> Bool? { history(of: transaction).last?.isFraud }

    private func firstIndex(of transaction: UInt64) -> Int {
        var (low, high) = (0, rows.count)
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].transaction < transaction { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
