import Features

/// Windows of users that were not met lately, in about a third of their bytes: what `WindowBlob` says of them in as few bits
/// as it can be said in, without pending records.
///
/// What it packs means something to the same packer alone, and never leaves the process.
struct BlobPacker {
    private var shared = SharedHashes()
    /// Of tokens. There is one for each life of a worker whose windows these are.
    private var writers: [UInt64] = []
    private var bits = BitWriter()

    private static let writerBits = 4
    /// Any other writer.
    private static let foreignWriter = 1 << writerBits - 1
    /// Of numbers that count upwards, and of those that mostly are small.
    private static let countOrder = 20
    private static let smallOrder = 3
    private static let greatest: Int64 = 1 << 55

    /// What it takes besides what it packs, bytes.
    var sizeBytes: Int { shared.sizeBytes + writers.capacity * 8 + bits.bytes.capacity }

    /// Lends what a blob is packed into; nil: it is none that can be.
    ///
    /// - Parameters:
    ///   - blob: Of the newest format.
    ///   - window: The blob's, with the pending records folded in.
    mutating func pack<Result>(
        _ blob: WindowBlob, _ window: UserWindow, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        let end = blob.endOffset
        let base = blob.pendingCount > 0 ? end : blob.baseOffset
        guard blob.format == WindowBlob.format, (0...Self.greatest).contains(base),
            (base...Self.greatest).contains(end), blob.token.sequence <= UInt64(Self.greatest),
            blob.partition >= WindowBlob.noPartition
        else { return nil }
        bits.removeAll()
        packWriter(blob.token.writer)
        bits.write(blob.token.sequence, order: Self.countOrder)
        bits.write(UInt64(blob.epoch), order: Self.smallOrder)
        bits.write(UInt64(Int64(blob.partition) + 1), order: Self.smallOrder)
        bits.write(UInt64(base), order: Self.countOrder)
        bits.write(UInt64(end - base), order: 0)
        bits.write(blob.missing != .none)
        if blob.missing != .none {
            bits.write(UInt64(blob.missing.marks.rawValue), bits: 16)
            bits.write(UInt64(blob.missing.untilMinute), bits: 32)
        }
        guard window.pack(into: &bits, &shared) else { return nil }
        bits.finish()
        return try bits.bytes.withUnsafeBytes(body)
    }

    /// The blob of a packed one, under the same token.
    ///
    /// - Parameter owner: The hash of the user's id.
    func unpack(_ packed: UnsafeRawBufferPointer, owner: UInt64, into blob: inout [UInt8]) {
        var bits = BitReader(packed)
        let writer = unpackWriter(&bits)
        let token = WindowToken(writer: writer, sequence: bits.read(order: Self.countOrder))
        let epoch = UInt32(truncatingIfNeeded: bits.read(order: Self.smallOrder))
        let partition = Int32(truncatingIfNeeded: Int64(bits.read(order: Self.smallOrder)) - 1)
        let baseOffset = Int64(bits.read(order: Self.countOrder))
        let endOffset = baseOffset &+ Int64(bits.read(order: 0))
        var missing = MissingHistory.none
        if bits.flag() {
            let marks = UInt16(truncatingIfNeeded: bits.read(bits: 16))
            missing = MissingHistory(
                marks: TransactionMarks(rawValue: marks),
                untilMinute: UInt32(truncatingIfNeeded: bits.read(bits: 32)))
        }
        let window = UserWindow(unpacking: &bits, shared)
        blob = WindowBlob.encoded(
            window, token: token, owner: owner, epoch: epoch, partition: partition, baseOffset: baseOffset,
            endOffset: endOffset, missing: missing)
    }

    func token(_ packed: UnsafeRawBufferPointer) -> WindowToken {
        var bits = BitReader(packed)
        let writer = unpackWriter(&bits)
        return WindowToken(writer: writer, sequence: bits.read(order: Self.countOrder))
    }

    private mutating func packWriter(_ writer: UInt64) {
        let number = writers.firstIndex(of: writer) ?? writers.count
        if number == writers.count, number < Self.foreignWriter { writers.append(writer) }
        bits.write(UInt64(number), bits: Self.writerBits)
        if number == Self.foreignWriter { bits.write(long: writer, bits: 64) }
    }

    private func unpackWriter(_ bits: inout BitReader) -> UInt64 {
        let number = Int(bits.read(bits: Self.writerBits))
        return number < writers.count ? writers[number] : bits.read(long: 64)
    }
}
