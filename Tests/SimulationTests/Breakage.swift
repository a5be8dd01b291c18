import BatchProtocol

/// Ways to get the protocol wrong, each switched on alone: the simulator must notice every one of them.
enum Breakage: String, Sendable, CaseIterable {
    // What the store is asked to do.
    case skipCompare = "windows are written without comparing"
    case skipWatermarkCompare = "the partition's watermark is not compared"
    case compareWatermarkOnly = "only the partition's watermark is compared, not its users' windows"
    case writeHalf = "the first window of a batch is written, the others are not"
    case reuseToken = "all writings of a process carry one token"
    case writeNoWatermark = "watermarks are not written"
    case largestWatermark = "a watermark keeps the largest end, not the last"
    case ignoreWatermark = "a watermark below the committed offset is not minded"
    case forgetLoss = "a loss is marked once and then forgotten"
    case damagedUnmarked = "a damaged window counts as an empty one"
    // Where windows start.
    case foldPendingTwice = "pending records are folded twice"
    case neverDropPending = "pending records always count"
    case alwaysDropPending = "pending records never count"
    case pendingByEnd = "pending records count by the end of their batch, all or none"
    case pendingReversed = "pending records are folded in the wrong order"
    case ignorePartition = "offsets of two partitions are compared"
    case movedNeverCounts = "pending records of a user who moved never count"
    case movedAlwaysCounts = "pending records of a user who moved always count"
    case countAheadAgain = "records that the window holds are counted again when offsets are set back"
    // The order of steps.
    case commitBeforeWriting = "the transaction is committed before the windows are written"
    case offsetsAfterWriting = "offsets are added after the windows are written"
    case conflictIsWritten = "a conflict counts as written"
    case conflictKeepsTransaction = "a conflict does not abort the transaction"
    case unansweredIsCommitted = "a commit that is not answered counts as committed"
    case unansweredIsAborted = "a commit that is not answered is given up, and the batch is sent again"
    case modelsEachAttempt = "a repeated batch takes the models of the moment"
    case fencedGoesOn = "a fenced worker tries again"
    // Who may deliver.
    case checkBeforeDelivery =
        "the assignment is checked before delivery only, and the generation taken in it"
    case revokeDuringDelivery = "a revocation does not wait for the delivery"
    case assignmentNotCounted = "a change of assignment does not void what was read"
    case skipGenerationCheck = "offsets are added without the group's generation"
    case skipFencing = "a new process does not fence the one before"
    case leaveTransactionOpen = "a new process does not end the transaction of the one before"
    case readUnstableOffsets = "offsets are read while a transaction on them is open"
    case skipStartCommit =
        "at least once: nothing asks before the writing whether this member may still commit"
    // Reading.
    case dropPolledRecords = "records are dropped when the committed offset cannot be had"
    case seekPast = "after a change of assignment reading begins one record late"
    case keepFetchPosition = "after a change of assignment reading goes on where it stood"
    case pauseOutlivesAssignment = "a paused partition that comes back is not resumed"
    case growthUnnoticed = "a partition that the topic has grown by is not looked for"
    case offsetOfLastRecord = "the offset of the last record is committed, not the one after it"
    case offsetOnePast = "one offset too many is committed"
    case publishOutsideTransaction = "verdicts are published outside the transaction"
}
