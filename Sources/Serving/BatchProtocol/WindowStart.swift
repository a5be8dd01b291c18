/// What a user's blob says of itself.
public struct BlobPlace: Sendable, Equatable {
    public let partition: Int32
    /// Every record of the user below it is in the base window.
    public let baseOffset: Int64

    public init(partition: Int32, baseOffset: Int64) {
        self.partition = partition
        self.baseOffset = baseOffset
    }
}

/// Where a user's window starts for a batch: which of the blob's pending records count.
///
///     blob                                     pending that count             the window is
///     --------------------------------------   ----------------------------   -------------------------------------
///     none                                     none: the window is empty      exact, if the partition is whole
///     same partition, base at or below start   those below the start          exact: what lies below is committed
///     same partition, base beyond the start    none                           later than the record, ahead: offsets
///                                                                             were set back
///     other partition                          those below the offset         exact in the order of commits; moved
///                                              committed there (none: none)
///     damaged                                  none: the window is empty      lost
///
/// A blob that a killed worker wrote for a batch that nobody committed is no special case: of its pending records none
/// lies below the committed offset, or those do that a smaller batch has committed since.
public struct WindowStart: Sendable, Equatable {
    /// Pending records below this offset are folded into the base, the others dropped.
    public let foldsBelow: Int64
    /// The blob comes from another partition.
    public let isMoved: Bool
    /// Records of the batch below this offset are in the window already: scored, not counted again.
    public let countsFrom: Int64

    /// - Parameter committedElsewhere: Of partitions other than the slice's; absent: nothing was ever committed.
    @inlinable
    public init(_ place: BlobPlace, in slice: SliceSpan, committedElsewhere: [Int32: Int64]) {
        if place.partition == slice.partition {
            foldsBelow = slice.start
            isMoved = false
            countsFrom = max(slice.start, place.baseOffset)
        } else {
            // Offsets of two partitions do not compare: the blob's own partition decides.
            foldsBelow = committedElsewhere[place.partition] ?? .min
            isMoved = true
            countsFrom = slice.start
        }
    }

    public func isAhead(of slice: SliceSpan) -> Bool { countsFrom > slice.start }
}

/// What the window store last wrote for a partition: beside the blobs, in the same step, under the same comparison.
public struct Watermark: Sendable, Equatable {
    /// The end of the batch whose windows were written last; not the largest there ever was.
    public let end: Int64
    /// Windows lack records below this offset, until they are rebuilt; nil: they lack none.
    public let lostBelow: Int64?

    public init(end: Int64, lostBelow: Int64? = nil) {
        self.end = end
        self.lostBelow = lostBelow
    }
}

/// What a partition's windows are worth when a batch begins at the committed offset c.
///
///     watermark                      standing                       because
///     ----------------------------   ----------------------------   ---------------------------------------------
///     at or beyond c                 whole                          every record below c is in a base, or pending
///     below c                        lost below c                   the store has forgotten what it wrote since, or
///                                                                   offsets were set forward
///     none, group never committed    whole                          there is nothing to forget
///     none, group has committed      lost below c                   the store is empty: flushed, or another one
///     says lost below x              lost below the larger          it stays so until the windows are rebuilt
///
/// The watermark is of the batch written last, and compared like a blob when it is written. The largest end ever would
/// not do: a batch [10, 30) that nobody committed, then [10, 20) and [20, 25) that were; a store set back to [10, 20)
/// would say 30, and lack the records from 20 on.
public enum Standing: Sendable, Equatable {
    case whole
    case lost(below: Int64)

    @inlinable
    public init(_ slice: SliceSpan, watermark: Watermark?) {
        let isWhole = watermark.map { $0.end >= slice.start } ?? slice.isBeginning
        switch (isWhole, watermark?.lostBelow) {
        case (true, nil): self = .whole
        case (true, let lost?): self = .lost(below: lost)
        case (false, let lost): self = .lost(below: max(slice.start, lost ?? slice.start))
        }
    }

    public var lostBelow: Int64? {
        switch self {
        case .whole: nil
        case .lost(let offset): offset
        }
    }

    /// What is to be written with the slice's windows.
    public func watermark(after slice: SliceSpan) -> Watermark {
        Watermark(end: slice.end, lostBelow: lostBelow)
    }
}
