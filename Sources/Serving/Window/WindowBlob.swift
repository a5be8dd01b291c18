import Features

/// Names one writing of one blob: who wrote it, and which of that writer's batches it was.
public struct WindowToken: Sendable, Hashable {
    public static let sizeBytes = 16
    /// Where the token lies in the blob: after the format's number.
    public static let range = 1..<17

    /// Random for each worker's life.
    public let writer: UInt64
    public let sequence: UInt64

    public init(writer: UInt64, sequence: UInt64) {
        self.writer = writer
        self.sequence = sequence
    }

    /// Lends the token as it stands in a blob.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withUnsafeBytes(of: (writer.littleEndian, sequence.littleEndian), body)
    }
}

/// What the window store holds for a user: little-endian, without padding.
///
///     1   format, 1
///     16  token: writer, sequence
///     4   source partition
///     8   base offset: every record of the user below it is in the base window
///     8   end offset: of the batch that the pending records are from
///     4   count of pending records
///     4   size of the base window
///     ..  base window, as `UserWindow` encodes it
///     ..  pending records, as `WindowEvent` encodes them
///
/// The pending records are what makes the store part of the stream's transaction: they count once the stream
/// has committed the end offset, and never if it has not.
struct WindowBlob {
    static let headerSize = 45
    static let format: UInt8 = 1

    let token: WindowToken
    let partition: Int32
    let baseOffset: Int64
    let endOffset: Int64
    let base: UnsafeRawBufferPointer
    let pending: UnsafeRawBufferPointer

    var pendingCount: Int { pending.count / WindowEvent.encodedSize }

    /// - Throws: When the bytes are not a blob; the store was written by somebody else.
    init(_ bytes: UnsafeRawBufferPointer) throws(WindowStoreError) {
        guard bytes.count >= Self.headerSize, bytes[0] == Self.format else {
            throw .damaged("not a window of format \(Self.format)")
        }
        func load<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        token = WindowToken(writer: load(1, as: UInt64.self), sequence: load(9, as: UInt64.self))
        partition = load(17, as: Int32.self)
        baseOffset = load(21, as: Int64.self)
        endOffset = load(29, as: Int64.self)
        let pendingSize = Int(load(37, as: UInt32.self)) * WindowEvent.encodedSize
        let baseSize = Int(load(41, as: UInt32.self))
        guard bytes.count == Self.headerSize + baseSize + pendingSize else {
            throw .damaged(
                "\(bytes.count) bytes where its header says \(Self.headerSize + baseSize + pendingSize)")
        }
        base = UnsafeRawBufferPointer(rebasing: bytes[Self.headerSize..<Self.headerSize + baseSize])
        pending = UnsafeRawBufferPointer(rebasing: bytes[(Self.headerSize + baseSize)...])
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
    func settled() throws(WindowStoreError) -> [UInt8] {
        var encoded: [UInt8] = []
        try window(foldingPending: true).encode(into: &encoded)
        var bytes: [UInt8] = []
        Self.appendHeader(
            to: &bytes, token: token, partition: partition, baseOffset: 0, endOffset: 0, pendingCount: 0,
            baseSize: encoded.count)
        return bytes + encoded
    }

    /// Appends a header; the base window and the pending records follow.
    static func appendHeader(
        to bytes: inout [UInt8], token: WindowToken, partition: Int32, baseOffset: Int64, endOffset: Int64,
        pendingCount: Int, baseSize: Int
    ) {
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.append(format)
        append(token.writer)
        append(token.sequence)
        append(partition)
        append(baseOffset)
        append(endOffset)
        append(UInt32(pendingCount))
        append(UInt32(baseSize))
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
