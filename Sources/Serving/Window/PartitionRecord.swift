/// What the window store holds for a partition, written with the windows of each batch: little-endian, without padding.
///
///     1   format, 1
///     16  token: writer, sequence
///     4   checksum
///     4   epoch
///     4   identity of the store that it was written to
///     8   base offset: where the last batch began
///     8   end offset: where it ended; the store holds the windows up to here, the watermark
///     8   committed offset: every record below it was committed; beyond the base only after offsets were set back
///     20  clock at the base offset
///     20  clock at the end offset
///     6   what is missing from windows of this partition that the store no longer has, or has from before the epoch
///
/// The base is of the moment before the last batch, for the case that it is never committed.
struct PartitionRecord: Sendable, Hashable {
    static let format: UInt8 = 1
    static let sizeBytes = 99

    /// Another number after each loss: a blob that carries an older one may lack records.
    var epoch: UInt32
    var storeIdentity: UInt32
    var baseOffset: Int64
    var endOffset: Int64
    var committedOffset: Int64
    var baseClock: EventClock
    var endClock: EventClock
    var missing: MissingHistory

    init(
        epoch: UInt32, storeIdentity: UInt32, baseOffset: Int64, endOffset: Int64, committedOffset: Int64,
        baseClock: EventClock, endClock: EventClock, missing: MissingHistory
    ) {
        self.epoch = epoch
        self.storeIdentity = storeIdentity
        self.baseOffset = baseOffset
        self.endOffset = endOffset
        self.committedOffset = committedOffset
        self.baseClock = baseClock
        self.endClock = endClock
        self.missing = missing
    }

    /// - Throws: When the bytes are no record of this partition.
    init(_ bytes: UnsafeRawBufferPointer, partition: Int32) throws(WindowStoreError) {
        guard bytes.count == Self.sizeBytes, bytes[0] == Self.format else {
            throw .damaged("not a partition's record of format \(Self.format)")
        }
        guard WindowChecksum.isRight(bytes, owner: Self.owner(partition)) else {
            throw .damaged("the checksum of the partition's record is wrong")
        }
        epoch = loadWord(bytes, 21)
        storeIdentity = loadWord(bytes, 25)
        baseOffset = loadWord(bytes, 29)
        endOffset = loadWord(bytes, 37)
        committedOffset = loadWord(bytes, 45)
        baseClock = EventClock(bytes, at: 53)
        endClock = EventClock(bytes, at: 73)
        missing = MissingHistory(bytes, at: 93)
    }

    func encoded(_ token: WindowToken, partition: Int32) -> [UInt8] {
        var bytes: [UInt8] = [Self.format]
        bytes.reserveCapacity(Self.sizeBytes)
        token.withBytes { bytes.append(contentsOf: $0) }
        bytes.appendWord(UInt32(0))
        bytes.appendWord(epoch)
        bytes.appendWord(storeIdentity)
        bytes.appendWord(baseOffset)
        bytes.appendWord(endOffset)
        bytes.appendWord(committedOffset)
        baseClock.append(to: &bytes)
        endClock.append(to: &bytes)
        missing.append(to: &bytes)
        WindowChecksum.seal(&bytes, from: 0, owner: Self.owner(partition))
        return bytes
    }

    /// The record of the same partition before the first record of another run of the stream.
    func forgettingOffsets(partition: Int32) -> [UInt8] {
        PartitionRecord(
            epoch: epoch, storeIdentity: storeIdentity, baseOffset: 0, endOffset: 0,
            committedOffset: 0, baseClock: endClock, endClock: endClock, missing: missing
        ).encoded(WindowToken(writer: 0, sequence: 0), partition: partition)
    }

    private static func owner(_ partition: Int32) -> UInt64 { UInt64(UInt32(bitPattern: partition)) }
}
