import Glibc
import Transactions

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The file of a `MemoryWindowStore`, format 2: `MLWINDO2`, then frames; numbers little-endian.
///
///     1   kind: 0 the stream's checkpoint, 1 a user, 2 a partition's record, 3 a damaged window, 9 the end
///     4   bytes that follow the checksum
///     4   checksum of them: 32 bits of XXH64
///     ..  checkpoint: as the stream wrote it
///         user, damaged: u16 length of the id, the id, the blob
///         record: i32 partition, the record
///         end: u64 how many frames came before
///
/// The snapshot is taken between two batches and carries the stream's own checkpoint, so that windows and offsets are of
/// the same moment. Format 1, `MLWINDOW`, held the checkpoint and the users, each length and bytes, and no checksums.
public struct WindowSnapshot: Sendable {
    /// The stream's checkpoint of that moment.
    public let checkpoint: [UInt8]
    /// What was damaged in the file, for people; nil: nothing. What could be read is restored.
    public let problem: String?

    /// Where a damaged file is kept.
    static func damagedCopy(of path: String) -> String { path + ".damaged" }
}

private enum Frame {
    static let checkpoint: UInt8 = 0
    static let user: UInt8 = 1
    static let partition: UInt8 = 2
    static let damaged: UInt8 = 3
    static let end: UInt8 = 9

    static let magic = Array("MLWINDO2".utf8)
    static let magicOfFormat1 = Array("MLWINDOW".utf8)
    static let headSize = 9

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: TextHash.hash(bytes))
    }
}

extension MemoryWindowStore {
    // MARK: Writing

    /// Writes every window and the stream's checkpoint to a file: the old snapshot or the new, never a part.
    public func snapshot(to path: String, checkpoint: [UInt8]) throws {
        let draft = path + ".draft"
        let file = try SnapshotWriter(path: draft)
        do {
            try file.append(Frame.checkpoint, checkpoint)
            try state.withLock { state in
                for (number, record) in state.partitions.sorted(by: { $0.key < $1.key }) {
                    var bytes: [UInt8] = []
                    bytes.appendWord(number)
                    try file.append(Frame.partition, bytes + record)
                }
                for (user, blob) in state.damaged { try file.append(Frame.damaged, user: user, blob: blob) }
                try state.table.visit { user, blob in
                    try file.append(Frame.user, user: user, blob: blob)
                }
            }
            try file.finish()
        } catch {
            file.close()
            unlink(draft)
            throw error
        }
        file.close()
        guard rename(draft, path) == 0 else {
            throw StreamFileError(path: path, action: "replace", code: errno)
        }
    }

    // MARK: Reading

    /// Reads a snapshot, replacing what is held. A damaged window is kept and noticed when it is used; where the file
    /// itself is damaged, what stands before is restored, and the partitions' records are left out, so that windows count
    /// as lost. A copy of such a file stays beside it, `<path>.damaged`.
    ///
    /// - Returns: nil when there is no snapshot.
    /// - Throws: `WindowStoreError.notSnapshot` for a file that is no snapshot at all; what reading it throws.
    public func restore(from path: String) throws -> WindowSnapshot? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let data = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
        return try data.withUnsafeBytes { bytes in
            var reader = SnapshotReader(bytes)
            if bytes.starts(with: Frame.magicOfFormat1) {
                return try restoreFormat1(&reader, path: path)
            }
            guard bytes.starts(with: Frame.magic) else {
                throw WindowStoreError.notSnapshot(path)
            }
            var state = State(hotBytes: hotBytes)
            var checkpoint: [UInt8] = []
            let problem = reader.frames { kind, content in
                Self.take(kind, content, into: &state, checkpoint: &checkpoint)
            }
            if problem != nil {
                state.partitions = [:]
                try? data.write(to: URL(filePath: WindowSnapshot.damagedCopy(of: path)))
            }
            replace(with: state)
            return WindowSnapshot(
                checkpoint: checkpoint,
                problem: problem.map { "\($0); a copy is \(WindowSnapshot.damagedCopy(of: path))" })
        }
    }

    /// - Returns: Whether the frame makes sense.
    private static func take(
        _ kind: UInt8, _ content: UnsafeRawBufferPointer, into state: inout State, checkpoint: inout [UInt8]
    ) -> Bool {
        switch kind {
        case Frame.checkpoint: checkpoint = Array(content)
        case Frame.partition:
            guard content.count > 4 else { return false }
            let number: Int32 = loadWord(content, 0)
            let bytes = Array(content[4...])
            state.partitions[number] = bytes
            let record = bytes.withUnsafeBytes { try? PartitionRecord($0, partition: number) }
            let time = max(0, record?.endClock.milliseconds ?? 0)
            state.minute = max(state.minute, UInt32(clamping: time / 60_000))
        case Frame.user, Frame.damaged:
            guard content.count >= 2 else { return false }
            let size = Int(loadWord(content, 0, as: UInt16.self))
            guard content.count >= 2 + size else { return false }
            let user = UnsafeRawBufferPointer(rebasing: content[2..<2 + size])
            let blob = UnsafeRawBufferPointer(rebasing: content[(2 + size)...])
            if kind == Frame.user {
                state.table.set(blob, of: user, minute: state.minute)
                Self.pack(&state, steps: 2)
            } else {
                state.damaged[Array(user)] = Array(blob)
            }
        default: return false
        }
        return true
    }

    private func restoreFormat1(_ reader: inout SnapshotReader, path: String) throws -> WindowSnapshot {
        func part() throws -> UnsafeRawBufferPointer {
            guard let size: UInt32 = reader.number(), let bytes = reader.take(Int(size)) else {
                throw WindowStoreError.notSnapshot(path)
            }
            return bytes
        }
        let checkpoint = Array(try part())
        var state = State(hotBytes: hotBytes)
        while reader.remaining > 0 {
            let user = try part()
            state.table.set(try part(), of: user, minute: 0)
            Self.pack(&state, steps: 2)
        }
        replace(with: state)
        return WindowSnapshot(checkpoint: checkpoint, problem: nil)
    }

    private func replace(with fresh: State) { state.withLock { $0 = fresh } }
}

/// Frames of a snapshot on their way to a file.
private final class SnapshotWriter {
    private let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = Frame.magic
    private var count: UInt64 = 0

    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StreamFileError(path: path, action: "write", code: errno) }
    }

    func append(_ kind: UInt8, _ content: [UInt8]) throws {
        buffer.append(kind)
        buffer.appendWord(UInt32(content.count))
        buffer.appendWord(content.withUnsafeBytes { Frame.checksum($0) })
        buffer += content
        count += 1
        if buffer.count > 1 << 20 { try flush() }
    }

    func append(
        _ kind: UInt8, user: some Collection<UInt8>, blob: some Collection<UInt8>
    ) throws {
        var content: [UInt8] = []
        content.reserveCapacity(2 + user.count + blob.count)
        content.appendWord(UInt16(truncatingIfNeeded: user.count))
        content.append(contentsOf: user)
        content.append(contentsOf: blob)
        try append(kind, content)
    }

    func finish() throws {
        var content: [UInt8] = []
        content.appendWord(count)
        try append(Frame.end, content)
        try flush()
        guard fsync(descriptor) == 0 else {
            throw StreamFileError(path: path, action: "write", code: errno)
        }
    }

    func close() { Glibc.close(descriptor) }

    private func flush() throws {
        try buffer.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written < 0, errno == EINTR { continue }
                guard written >= 0 else { throw StreamFileError(path: path, action: "write", code: errno) }
                rest = rest.dropFirst(written)
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// Reads bytes that may be any.
private struct SnapshotReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = Frame.magic.count

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count <= remaining else { return nil }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    mutating func number<Word: FixedWidthInteger>() -> Word? {
        take(MemoryLayout<Word>.size).map { loadWord($0, 0) }
    }

    /// Visits the frames up to the end or to the first damaged one.
    ///
    /// - Returns: What is damaged.
    mutating func frames(_ body: (UInt8, UnsafeRawBufferPointer) -> Bool) -> String? {
        var count: UInt64 = 0
        while true {
            let place = position
            guard let kind: UInt8 = number(), let size: UInt32 = number(), let sum: UInt32 = number(),
                let content = take(Int(size))
            else { return "the snapshot of windows ends early, after \(count) parts" }
            guard Frame.checksum(content) == sum else {
                return "the snapshot of windows is damaged at byte \(place), after \(count) parts"
            }
            if kind == Frame.end {
                return content.count == 8 && loadWord(content, 0, as: UInt64.self) == count
                    ? nil : "the snapshot of windows lacks parts"
            }
            guard body(kind, content) else {
                return "the snapshot of windows has a part of unknown kind \(kind) at byte \(place)"
            }
            count += 1
        }
    }
}
