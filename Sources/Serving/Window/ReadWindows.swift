import BatchProtocol

/// What the window store has for a batch, before it is decided what of it counts.
public struct ReadWindows: Sendable {
    let consumed: ConsumedBatch
    let index: UserIndex
    let partitions: PartitionStates
    var users: UserStates
    /// How many items the store has thrown away since it was asked before.
    let evictions: Int
    /// What the store says of itself now, where a record is older than it should be.
    let identity: UInt32
    /// What the store said of itself when it was last asked.
    let storeIdentity: UInt32
    /// Of what is written over what was read here.
    let token: WindowToken

    /// The partitions outside of the batch that users come from: their committed offsets say what counts.
    public var asked: [Int32] { consumed.span.asked(of: users.movedPlaces) }
}

extension ConsumedBatch {
    /// The batch as the protocol sees it.
    var span: BatchSpan {
        BatchSpan(
            assignment: assignment,
            slices: slices.map(\.span))
    }
}

extension PartitionSlice {
    /// The slice as the protocol sees it.
    var span: SliceSpan {
        SliceSpan(partition: source.partition, start: start, end: end, isBeginning: isAtBeginning)
    }
}
