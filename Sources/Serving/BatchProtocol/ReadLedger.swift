/// How far each partition has been read, under which assignment: what makes batches follow one another without a gap.
///
/// A batch's slice begins where the one before it ended, and the first one at the committed offset. Whatever was read
/// under an earlier assignment is void, and read again by whoever owns the partition.
public struct ReadLedger<Partition: Hashable & Sendable>: Sendable {
    /// Rises with each change of the assignment.
    public private(set) var assignment: UInt64 = 1
    /// The offset after the last record handed out; absent until the first.
    private var positions: [Partition: Int64] = [:]
    private var beginnings: Set<Partition> = []

    public init() {}

    /// Partitions were assigned or revoked: everything read and not delivered is void.
    public mutating func assignmentChanged() {
        assignment += 1
        positions = [:]
        beginnings = []
    }

    /// Those of which it is not known yet where reading begins: their committed offsets are to be asked for, and what
    /// was read of them is to be kept until they are answered.
    public func withoutStart(_ partitions: [Partition]) -> [Partition] {
        partitions.filter { positions[$0] == nil }
    }

    /// - Parameters:
    ///   - committed: nil: the group has never committed an offset here.
    ///   - first: The first record that was read.
    public mutating func begin(_ partition: Partition, committed: Int64?, first: Int64) {
        guard positions[partition] == nil else { return }
        positions[partition] = min(committed ?? first, first)
        if committed == nil { beginnings.insert(partition) }
    }

    /// The offset after the last record handed out; nil: none was, under this assignment.
    public func position(of partition: Partition) -> Int64? { positions[partition] }

    /// Reading goes on elsewhere: what lies between is not to be read.
    public mutating func move(_ partition: Partition, to offset: Int64) { positions[partition] = offset }

    /// Hands out the records up to `end`.
    ///
    /// - Parameter first: The first record that was read. One below the position has come again, because offsets were
    ///   set back: the slice says so by where it starts.
    /// - Returns: Where the partition stood, and whether that is the group's beginning in it.
    public mutating func advance(
        _ partition: Partition, first: Int64, to end: Int64
    ) -> (start: Int64, isBeginning: Bool) {
        let start = min(positions[partition] ?? first, first)
        positions[partition] = end
        return (start, beginnings.remove(partition) != nil)
    }
}
