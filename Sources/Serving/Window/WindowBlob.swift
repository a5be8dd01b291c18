import Features

/// What the window store holds for a user, format 2: little-endian, without padding.
///
///     1   format, 2
///     16  token: writer, sequence
///     4   checksum
///     4   epoch of the partition's record; 0: made whole from history, of no epoch
///     4   source partition; -1: made from history, of no partition
///     8   base offset: every record of the user below it is in the base window
///     8   end offset: of the batch that the pending records are from
///     6   what is missing from the base window
///     4   count of pending records
///     4   size of the base window
///     ..  base window, as `UserWindow` encodes it
///     ..  pending records, as `WindowEvent` encodes them
///
/// The pending records are what makes the store part of the stream's transaction: they count once the stream
/// has committed the end offset, and never if it has not.
///
/// Format 1 had neither checksum, epoch nor what is missing: 45 bytes of header, otherwise alike.
struct WindowBlob {
    static let headerSize = 59
    static let format: UInt8 = 2
    private static let headerSizeOfFormat1 = 45

    let format: UInt8
    let token: WindowToken
    let epoch: UInt32
    let partition: Int32
    let baseOffset: Int64
    let endOffset: Int64
    let missing: MissingHistory
    let base: UnsafeRawBufferPointer
    let pending: UnsafeRawBufferPointer

    static let noPartition: Int32 = -1

    var pendingCount: Int { pending.count / WindowEvent.encodedSize }

    /// - Parameter owner: The hash of the user's id.
    /// - Throws: When the bytes are not a blob of this user.
    init(_ bytes: UnsafeRawBufferPointer, owner: UInt64) throws(WindowStoreError) {
        guard let format = bytes.first, format == 1 || format == Self.format else {
            throw .damaged("not a window of format \(Self.format) or 1")
        }
        self.format = format
        let headerSize = format == 1 ? Self.headerSizeOfFormat1 : Self.headerSize
        guard bytes.count >= headerSize else { throw .damaged("\(bytes.count) bytes are no window") }
        let sizes: Int
        if format == 1 {
            (epoch, missing) = (0, .none)
            partition = loadWord(bytes, 17)
            baseOffset = loadWord(bytes, 21)
            endOffset = loadWord(bytes, 29)
            sizes = 37
        } else {
            guard WindowChecksum.isRight(bytes, owner: owner) else {
                throw .damaged("the checksum of the window is wrong")
            }
            epoch = loadWord(bytes, 21)
            partition = loadWord(bytes, 25)
            baseOffset = loadWord(bytes, 29)
            endOffset = loadWord(bytes, 37)
            missing = MissingHistory(bytes, at: 45)
            sizes = 51
        }
        token = WindowToken(writer: loadWord(bytes, 1), sequence: loadWord(bytes, 9))
        let pendingSize = Int(loadWord(bytes, sizes, as: UInt32.self)) * WindowEvent.encodedSize
        let baseSize = Int(loadWord(bytes, sizes + 4, as: UInt32.self))
        guard bytes.count == headerSize + baseSize + pendingSize else {
            throw .damaged(
                "\(bytes.count) bytes where its header says \(headerSize + baseSize + pendingSize)")
        }
        base = UnsafeRawBufferPointer(rebasing: bytes[headerSize..<headerSize + baseSize])
        pending = UnsafeRawBufferPointer(rebasing: bytes[(headerSize + baseSize)...])
    }

    /// The base window of this blob, decoded, with the pending records folded in if they count.
    func window(foldingPending isCommitted: Bool) throws(WindowStoreError) -> UserWindow {
        do {
            var window = try UserWindow(decoding: base)
            if isCommitted {
                for start in stride(from: 0, to: pending.count, by: WindowEvent.encodedSize) {
                    window.fold(
                        try WindowEvent(decoding: UnsafeRawBufferPointer(rebasing: pending[start...])))
                }
            }
            return window
        } catch {
            throw .damaged("\(error)")
        }
    }

    /// The blob of the same user with everything folded into the base, at offset 0 of the same partition.
    func settled(owner: UInt64) throws(WindowStoreError) -> [UInt8] {
        Self.encoded(
            try window(foldingPending: true), token: token, owner: owner, epoch: epoch, partition: partition,
            missing: missing)
    }

    /// The start of the day of the earliest pending record.
    var earliestPendingMilliseconds: Int64? {
        let times = stride(from: 0, to: pending.count, by: WindowEvent.encodedSize).compactMap { start in
            try? WindowEvent(decoding: UnsafeRawBufferPointer(rebasing: pending[start...]))
                .timestampMilliseconds
        }
        return times.min().map { $0 - (($0 % 86_400_000) + 86_400_000) % 86_400_000 }
    }

    /// The same blob on another base window of the same records, under a token of its own.
    func replacingBase(with window: UserWindow, missing: MissingHistory, owner: UInt64) -> [UInt8] {
        var base: [UInt8] = []
        window.encode(into: &base)
        var bytes: [UInt8] = []
        Self.appendHeader(
            to: &bytes, token: WindowToken(writer: .random(in: 0...UInt64.max), sequence: 0), epoch: 0,
            partition: partition, baseOffset: baseOffset, endOffset: endOffset, missing: missing,
            pendingCount: pendingCount, baseSize: base.count)
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
            endOffset: endOffset, missing: missing, pendingCount: 0, baseSize: base.count)
        bytes += base
        WindowChecksum.seal(&bytes, from: 0, owner: owner)
        return bytes
    }

    /// Appends a header; the base window and the pending records follow, and then `WindowChecksum.seal`.
    static func appendHeader(
        to bytes: inout [UInt8], token: WindowToken, epoch: UInt32, partition: Int32, baseOffset: Int64,
        endOffset: Int64, missing: MissingHistory, pendingCount: Int, baseSize: Int
    ) {
        bytes.append(format)
        token.withBytes { bytes.append(contentsOf: $0) }
        bytes.appendWord(UInt32(0))
        bytes.appendWord(epoch)
        bytes.appendWord(partition)
        bytes.appendWord(baseOffset)
        bytes.appendWord(endOffset)
        missing.append(to: &bytes)
        bytes.appendWord(UInt32(pendingCount))
        bytes.appendWord(UInt32(baseSize))
    }
}

/// A window store whose content cannot be used.
public enum WindowStoreError: Error, Sendable, CustomStringConvertible {
    case damaged(String)

    public var description: String {
        switch self {
        case .damaged(let reason): "a stored window is damaged: \(reason)"
        }
    }
}
