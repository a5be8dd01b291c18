import Foundation

/// Bytes by key, kept in memory up to a budget and in temporary files beyond it.
///
/// Appending is sequential and so is reading: memory stays within the budget however much is appended. Used by one
/// thread at a time; the files end with this object, or with the process's folder for temporary files.
final class SpillFiles {
    private let folder: URL
    private let budgetBytes: Int
    private var buffers: [[UInt8]]
    private var buffered = 0
    private var isOnDisk: [Bool]
    /// Whether the folder exists.
    private var hasFolder = false

    /// - Parameters:
    ///   - keys: Keys are `0..<keys`.
    ///   - scratch: A folder for temporary files; a folder of its own is made in it when the budget is passed.
    ///   - budgetBytes: Of all buffers together.
    init(keys: Int, scratch: String, budgetBytes: Int) {
        folder = URL(filePath: scratch).appending(path: "ml-service-\(UUID().uuidString)")
        self.budgetBytes = budgetBytes
        buffers = Array(repeating: [], count: keys)
        isOnDisk = Array(repeating: false, count: keys)
    }

    deinit {
        if hasFolder { try? FileManager.default.removeItem(at: folder) }
    }

    /// Whether anything was written to disk.
    var hasSpilled: Bool { hasFolder }

    /// One more key.
    func addKey() -> Int {
        buffers.append([])
        isOnDisk.append(false)
        return buffers.count - 1
    }

    func isEmpty(_ key: Int) -> Bool { buffers[key].isEmpty && !isOnDisk[key] }

    func append(_ bytes: UnsafeRawBufferPointer, to key: Int) throws {
        buffers[key].append(contentsOf: bytes)
        buffered += bytes.count
        if buffered > budgetBytes { try flush() }
    }

    /// Everything that was appended to a key, in order, in pieces; then forgets it.
    ///
    /// - Parameter recordSize: Pieces are cut at multiples of it.
    func take(_ key: Int, recordSize: Int = 1, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        if isOnDisk[key] {
            let pieceSize = max(1, (4 << 20) / recordSize) * recordSize
            try onDisk {
                let file = try FileHandle(forReadingFrom: file(key))
                defer { try? file.close() }
                while let piece = try file.read(upToCount: pieceSize), !piece.isEmpty {
                    try piece.withUnsafeBytes(body)
                }
            }
            try? FileManager.default.removeItem(at: file(key))
            isOnDisk[key] = false
        }
        let rest = buffers[key]
        buffers[key] = []
        buffered -= rest.count
        if !rest.isEmpty { try rest.withUnsafeBytes(body) }
    }

    private func file(_ key: Int) -> URL { folder.appending(path: "\(key)") }

    private func flush() throws {
        try onDisk {
            if !hasFolder {
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                hasFolder = true
            }
            for key in buffers.indices where !buffers[key].isEmpty {
                if !isOnDisk[key] {
                    try Data(buffers[key]).write(to: file(key))
                    isOnDisk[key] = true
                } else {
                    let file = try FileHandle(forWritingTo: file(key))
                    defer { try? file.close() }
                    try file.seekToEnd()
                    try file.write(contentsOf: buffers[key])
                }
                buffers[key].removeAll(keepingCapacity: true)
            }
        }
        buffered = 0
    }

    /// Foundation's errors of files as ours; others pass.
    private func onDisk(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as CocoaError {
            throw TrainingError.scratch(folder: folder.path, reason: error.localizedDescription)
        }
    }
}
