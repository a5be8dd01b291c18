import Features

/// What the window store holds for a user, format 3: little-endian, without padding.
///
///     1   format, 3
///     16  token: writer, sequence
///     4   checksum
///     4   epoch of the partition's record; 0: made whole from history, of no epoch
///     4   source partition; -1: made from history, of no partition
///     8   base offset: every record of the user below it is in the base window
///     8   end offset: of the batch that the pending records are from
///     6   what is missing from the base window
///     4   size of the base window
///     ..  pending records: their count, then the offset of each less that of the one before it, of the first less the
///         base offset (`Varint`)
///     ..  base window, as `UserWindow` encodes it
///     ..  pending records, as `WindowEvent` encodes them
///
/// The pending records are what makes the store part of the stream's transaction: those below the stream's committed
/// offset count, and the others do not. See `WindowStart`.
///
/// Format 2 had no offsets: 59 bytes of header, with the count of pending records before the size of the base window. They
/// count all or none, by the end of their batch. Format 1 had neither checksum, epoch nor what is missing: 45 bytes of
/// header, otherwise alike.
struct WindowBlob {
    /// Without the pending records' offsets.
    static let headerSize = 55
    static let format: UInt8 = 3

    let format: UInt8
    let token: WindowToken
    let epoch: UInt32
    let partition: Int32
    let baseOffset: Int64
    let endOffset: Int64
    let missing: MissingHistory
    let base: UnsafeRawBufferPointer
    let pending: UnsafeRawBufferPointer
    /// The differences of the pending records' offsets; empty in older formats.
    private let offsets: UnsafeRawBufferPointer

    static let noPartition: Int32 = -1

    var pendingCount: Int { pending.count / WindowEvent.encodedSize }

    /// Whether each pending record has an offset.
    var hasOffsets: Bool { format >= 3 }

    /// - Parameter owner: The hash of the user's id.
    /// - Throws: When the bytes are not a blob of this user.
    init(_ bytes: UnsafeRawBufferPointer, owner: UInt64) throws(WindowStoreError) {
        guard let format = bytes.first, (1...Self.format).contains(format) else {
            throw .damaged("not a window of a format up to \(Self.format)")
        }
        self.format = format
        let headerSize = format == 1 ? 45 : format == 2 ? 59 : Self.headerSize
        guard bytes.count >= headerSize else { throw .damaged("\(bytes.count) bytes are no window") }
        if format == 1 {
            (epoch, missing) = (0, .none)
            partition = loadWord(bytes, 17)
            baseOffset = loadWord(bytes, 21)
            endOffset = loadWord(bytes, 29)
        } else {
            guard WindowChecksum.isRight(bytes, owner: owner) else {
                throw .damaged("the checksum of the window is wrong")
            }
            epoch = loadWord(bytes, 21)
            partition = loadWord(bytes, 25)
            baseOffset = loadWord(bytes, 29)
            endOffset = loadWord(bytes, 37)
            missing = MissingHistory(bytes, at: 45)
        }
        token = WindowToken(writer: loadWord(bytes, 1), sequence: loadWord(bytes, 9))
        let baseSize = Int(loadWord(bytes, headerSize - 4, as: UInt32.self))
        var pendingCount = 0
        var baseStart = headerSize
        if format < 3 {
            pendingCount = Int(loadWord(bytes, headerSize - 8, as: UInt32.self))
        } else {
            // No count that the bytes have no room for, so that no loop is longer than they are.
            guard let count = Varint.read(bytes, at: &baseStart), count <= UInt64(bytes.count) else {
                throw .damaged("the count of its pending records is cut off")
            }
            pendingCount = Int(count)
        }
        let offsetsStart = baseStart
        if format >= 3 {
            for _ in 0..<pendingCount where Varint.read(bytes, at: &baseStart) == nil {
                throw .damaged("an offset of its pending records is cut off")
            }
        }
        let size = baseStart + baseSize + pendingCount * WindowEvent.encodedSize
        guard bytes.count == size else {
            throw .damaged("\(bytes.count) bytes where its header says \(size)")
        }
        offsets = UnsafeRawBufferPointer(rebasing: bytes[offsetsStart..<baseStart])
        base = UnsafeRawBufferPointer(rebasing: bytes[baseStart..<baseStart + baseSize])
        pending = UnsafeRawBufferPointer(rebasing: bytes[(baseStart + baseSize)...])
    }

    /// The base window of this blob, decoded, with the pending records below an offset folded in; `.max`: all of them,
    /// `.min`: none.
    func window(foldingBelow limit: Int64) throws(WindowStoreError) -> UserWindow {
        do {
            var window = try UserWindow(decoding: base)
            var (offset, place) = (baseOffset, 0)
            for start in stride(from: 0, to: pending.count, by: WindowEvent.encodedSize) {
                if hasOffsets {
                    offset &+= Varint.signed(Varint.read(offsets, at: &place) ?? 0)
                } else {
                    offset = endOffset &- 1
                }
                // What was read as a whole counts as a whole, whatever offsets its bytes say.
                guard offset < limit || limit == .max else { continue }
                window.fold(try WindowEvent(decoding: UnsafeRawBufferPointer(rebasing: pending[start...])))
            }
            return window
        } catch {
            throw .damaged("\(error)")
        }
    }

    private var pendingOffsets: [Int64] {
        guard hasOffsets else { return Array(repeating: endOffset &- 1, count: pendingCount) }
        var (offset, place) = (baseOffset, 0)
        return (0..<pendingCount).map { _ in
            offset &+= Varint.signed(Varint.read(offsets, at: &place) ?? 0)
            return offset
        }
    }

    /// The blob of the same user with everything folded into the base, at offset 0 of the same partition.
    func settled(owner: UInt64) throws(WindowStoreError) -> [UInt8] {
        Self.encoded(
            try window(foldingBelow: .max), token: token, owner: owner, epoch: epoch, partition: partition,
            missing: missing)
    }

    /// The start of the day of the earliest pending record.
    var earliestPendingMilliseconds: Int64? {
        let times = stride(from: 0, to: pending.count, by: WindowEvent.encodedSize).compactMap { start in
            try? WindowEvent(decoding: UnsafeRawBufferPointer(rebasing: pending[start...]))
                .timestampMilliseconds
        }
        return times.min()?.startOfDay
    }

    /// The same blob on another base window of the same records, under a token of its own.
    func replacingBase(with window: UserWindow, missing: MissingHistory, owner: UInt64) -> [UInt8] {
        var base: [UInt8] = []
        window.encode(into: &base)
        var bytes: [UInt8] = []
        Self.appendHeader(
            to: &bytes, token: WindowToken(writer: .random(in: 0...UInt64.max), sequence: 0), epoch: 0,
            partition: partition, baseOffset: baseOffset, endOffset: endOffset, missing: missing,
            pendingOffsets: pendingOffsets, baseSize: base.count)
        bytes += base
        bytes += pending
        WindowChecksum.seal(&bytes, from: 0, owner: owner)
        return bytes
    }

    /// A blob of a window without pending records.
    static func encoded(
        _ window: UserWindow, token: WindowToken, owner: UInt64, epoch: UInt32 = 0,
        partition: Int32 = noPartition, baseOffset: Int64 = 0, endOffset: Int64 = 0,
        missing: MissingHistory = .none
    ) -> [UInt8] {
        var base: [UInt8] = []
        window.encode(into: &base)
        var bytes: [UInt8] = []
        appendHeader(
            to: &bytes, token: token, epoch: epoch, partition: partition, baseOffset: baseOffset,
            endOffset: endOffset, missing: missing, pendingOffsets: EmptyCollection<Int64>(),
            baseSize: base.count)
        bytes += base
        WindowChecksum.seal(&bytes, from: 0, owner: owner)
        return bytes
    }

    /// Appends a header; the base window and the pending records follow, and then `WindowChecksum.seal`.
    ///
    /// - Parameter pendingOffsets: Of each pending record, in their order.
    static func appendHeader(
        to bytes: inout [UInt8], token: WindowToken, epoch: UInt32, partition: Int32, baseOffset: Int64,
        endOffset: Int64, missing: MissingHistory, pendingOffsets: some Collection<Int64>, baseSize: Int
    ) {
        bytes.append(format)
        token.withBytes { bytes.append(contentsOf: $0) }
        bytes.appendWord(UInt32(0))
        bytes.appendWord(epoch)
        bytes.appendWord(partition)
        bytes.appendWord(baseOffset)
        bytes.appendWord(endOffset)
        missing.append(to: &bytes)
        bytes.appendWord(UInt32(baseSize))
        Varint.append(UInt64(pendingOffsets.count), to: &bytes)
        var before = baseOffset
        for offset in pendingOffsets {
            Varint.append(Varint.unsigned(offset &- before), to: &bytes)
            before = offset
        }
    }
}

/// A window store whose content cannot be used.
public enum WindowStoreError: Error, Sendable, CustomStringConvertible {
    case damaged(String)
    /// The file of windows in memory.
    case notSnapshot(String)

    public var description: String {
        switch self {
        case .damaged(let reason): "a stored window is damaged: \(reason)"
        case .notSnapshot(let path):
            "\(path) is no snapshot of windows: put a copy of it back, or move it away. Then windows begin empty; verdicts of a topic are marked windows-lost until ml-service windows rebuild, and a file is read again from its first line, its verdicts written anew over those there are"
        }
    }
}
