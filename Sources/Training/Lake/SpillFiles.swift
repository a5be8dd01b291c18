import Foundation
import Glibc

/// Bytes by key, kept in memory up to a budget and in a temporary file beyond it.
///
/// Appending is sequential and so is reading: memory stays within the budget however much is appended. Used by one
/// thread at a time. The file has no name, so nobody else can open it and it is gone with the process, however that
/// ends.
final class SpillFiles {
    private struct Extent {
        let offset: Int
        let count: Int
    }

    private let scratch: String
    private let budgetBytes: Int
    private var buffers: [Buffer]
    private var buffered = 0
    /// Where in the file each key's bytes are, in the order in which they were appended.
    private var extents: [[Extent]]
    private var descriptor: Int32 = -1
    private var fileBytes = 0

    /// - Parameters:
    ///   - keys: Keys are `0..<keys`.
    ///   - scratch: A folder for the temporary file, which is made when the budget is passed.
    ///   - budgetBytes: Of all buffers together.
    init(keys: Int, scratch: String, budgetBytes: Int) {
        self.scratch = scratch
        self.budgetBytes = budgetBytes
        buffers = Array(repeating: Buffer(), count: keys)
        extents = Array(repeating: [], count: keys)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        for key in buffers.indices { buffers[key].free() }
    }

    /// Bytes that grow at their end, some ten million times a lake; an array asks each time whether anybody else has it.
    private struct Buffer {
        private var start: UnsafeMutableRawPointer?
        private(set) var count = 0
        private var capacity = 0

        var isEmpty: Bool { count == 0 }
        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

        @inline(__always)
        mutating func append(_ bytes: UnsafeRawBufferPointer) {
            guard let from = bytes.baseAddress else { return }
            if count + bytes.count > capacity { grow(by: bytes.count) }
            (start.unsafelyUnwrapped + count).copyMemory(from: from, byteCount: bytes.count)
            count += bytes.count
        }

        private mutating func grow(by more: Int) {
            capacity = max(2 * capacity, count + more, 1_024)
            guard let grown = realloc(start, capacity) else {
                preconditionFailure("there is no memory for \(capacity) bytes")
            }
            start = grown
        }

        mutating func removeAll() { count = 0 }

        mutating func free() {
            Glibc.free(start)
            (start, count, capacity) = (nil, 0, 0)
        }
    }

    /// Whether anything was written to disk.
    var hasSpilled: Bool { descriptor >= 0 }

    /// One more key.
    func addKey() -> Int {
        buffers.append(Buffer())
        extents.append([])
        return buffers.count - 1
    }

    func isEmpty(_ key: Int) -> Bool { buffers[key].isEmpty && extents[key].isEmpty }

    /// Appends a record whole: a file's extent never ends within one.
    ///
    /// - Parameter rest: The record's second part.
    func append(
        _ bytes: UnsafeRawBufferPointer, and rest: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        to key: Int
    ) throws {
        buffers[key].append(bytes)
        buffers[key].append(rest)
        buffered += bytes.count + rest.count
        if buffered > budgetBytes { try flush() }
    }

    /// Everything that was appended to a key, in order, in pieces; then forgets it.
    ///
    /// - Parameter recordSize: Pieces are cut at multiples of it.
    func take(_ key: Int, recordSize: Int = 1, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let pieceSize = max(1, (4 << 20) / recordSize) * recordSize
        for extent in extents[key] {
            // Each was one buffer, so it holds whole records.
            for start in stride(from: 0, to: extent.count, by: pieceSize) {
                let piece = try read(at: extent.offset + start, count: min(pieceSize, extent.count - start))
                try piece.withUnsafeBytes(body)
            }
        }
        extents[key] = []
        var rest = buffers[key]
        buffers[key] = Buffer()
        buffered -= rest.count
        defer { rest.free() }
        if !rest.isEmpty { try body(rest.bytes) }
    }

    private func flush() throws {
        if descriptor < 0 { descriptor = try Self.openNameless(in: scratch) }
        for key in buffers.indices where !buffers[key].isEmpty {
            try write(buffers[key].bytes)
            extents[key].append(Extent(offset: fileBytes, count: buffers[key].count))
            fileBytes += buffers[key].count
            buffers[key].removeAll()
        }
        buffered = 0
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while let start = bytes.baseAddress, done < bytes.count {
            let count = pwrite(descriptor, start + done, bytes.count - done, off_t(fileBytes + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(scratch) }
            done += count
        }
    }

    private func read(at offset: Int, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = pread(
                    descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.failure(scratch) }
                done += count
            }
        }
        return bytes
    }

    /// A file for this user alone that no folder names.
    private static func openNameless(in folder: String) throws -> Int32 {
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // mkstemp makes it with mode 0600; without a name it lives as long as the descriptor.
        var path = Array("\(folder)/ml-service-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw failure(folder) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(path)
        return descriptor
    }

    private static func failure(_ folder: String) -> TrainingError {
        .scratch(folder: folder, reason: String(cString: strerror(errno)))
    }
}
