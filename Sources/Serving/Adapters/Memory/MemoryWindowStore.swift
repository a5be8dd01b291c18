import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Windows in this process's memory, with a snapshot in a file.
///
/// The snapshot is taken between two batches and carries the stream's own checkpoint, so that windows and
/// offsets are of the same moment.
public final class MemoryWindowStore: WindowStore {
    private struct State {
        var blobs: [[UInt8]: [UInt8]] = [:]
    }

    private let state = Mutex(State())

    public let location = "memory"

    public init() {}

    public var count: Int { state.withLock { $0.blobs.count } }

    public func read(_ users: UserKeys, _ body: (Int, UnsafeRawBufferPointer?) throws -> Void) throws {
        try state.withLock { state in
            for index in 0..<users.count {
                if let blob = state.blobs[Array(users.bytes[users.range(index)])] {
                    try blob.withUnsafeBytes { try body(index, $0) }
                } else {
                    try body(index, nil)
                }
            }
        }
    }

    public func write(_ writes: WindowWrites) throws -> Bool {
        try state.withLock { state in
            let keys = (0..<writes.users.count).map { Array(writes.users.bytes[writes.users.range($0)]) }
            for (index, key) in keys.enumerated() {
                let token = try state.blobs[key].map { blob in
                    try blob.withUnsafeBytes { try WindowBlob($0).token }
                }
                guard token == writes.expected[index] else { return false }
            }
            for (index, key) in keys.enumerated() {
                state.blobs[key] = Array(writes.bytes[writes.range(index)])
            }
            return true
        }
    }

    public func remove(userID: String) throws {
        state.withLock { _ = $0.blobs.removeValue(forKey: Array(userID.utf8)) }
    }

    // MARK: Snapshot

    private static let magic: [UInt8] = Array("MLWINDOW".utf8)

    /// Writes every window and the stream's checkpoint to a file: the old snapshot or the new, never a part.
    public func snapshot(to path: String, checkpoint: [UInt8]) throws {
        var bytes = Self.magic
        func append(_ part: [UInt8]) {
            withUnsafeBytes(of: UInt32(part.count).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: part)
        }
        append(checkpoint)
        state.withLock { state in
            for (key, blob) in state.blobs {
                append(key)
                append(blob)
            }
        }
        try Data(bytes).write(to: URL(filePath: path), options: .atomic)
    }

    /// Reads a snapshot, replacing what is held.
    ///
    /// - Returns: The stream's checkpoint of that moment, or nil when there is no snapshot.
    /// - Throws: `WindowStoreError.damaged` for a file that is no snapshot.
    public func restore(from path: String) throws -> [UInt8]? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        guard bytes.starts(with: Self.magic) else {
            throw WindowStoreError.damaged("\(path) is no snapshot of windows")
        }
        var position = Self.magic.count
        func part() throws -> [UInt8] {
            guard position + 4 <= bytes.count else { throw WindowStoreError.damaged("\(path) ends early") }
            let size = bytes.withUnsafeBytes {
                Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self)))
            }
            position += 4
            guard position + size <= bytes.count else { throw WindowStoreError.damaged("\(path) ends early") }
            defer { position += size }
            return Array(bytes[position..<position + size])
        }
        let checkpoint = try part()
        var blobs: [[UInt8]: [UInt8]] = [:]
        while position < bytes.count {
            let key = try part()
            let blob = try part()
            _ = try blob.withUnsafeBytes { try WindowBlob($0) }
            blobs[key] = blob
        }
        state.withLock { $0.blobs = blobs }
        return checkpoint
    }

    /// Folds every pending record and forgets offsets, for a stream whose offsets start anew with each run.
    public func forgetOffsets() throws {
        try state.withLock { state in
            for (key, bytes) in state.blobs {
                state.blobs[key] = try bytes.withUnsafeBytes { try WindowBlob($0).settled() }
            }
        }
    }
}
