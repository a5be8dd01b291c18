import Foundation
import Glibc
import Synchronization

/// Bytes by key, kept in memory up to a budget and in a temporary file beyond it.
///
/// Memory is one stretch of the budget's size, cut into blocks that keys take as they need them: it stays within the budget
/// however much is appended, in whatever order, and to however many keys. Appending is sequential and so is reading. The
/// file has no name, so nobody else can open it and it is gone with the process, however that ends.
///
/// `@unchecked Sendable`: one thread appends, and nobody takes before it has ended; from then on what changes is changed
/// under the lock.
final class SpillFiles: @unchecked Sendable {
    private struct Extent {
        let offset: Int
        let count: Int
    }

    /// The blocks of a key, in their order, linked by `next`.
    private struct Chain {
        var first = SpillFiles.none
        var last = SpillFiles.none
        /// Where the next record goes, and how many bytes are free there: of the last block.
        var end: UnsafeMutableRawPointer?
        var room = 0

        /// - Returns: Whether there was room for it.
        @inline(__always)
        mutating func add(_ bytes: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) -> Bool {
            guard let end, room >= bytes.count + rest.count else { return false }
            if let from = bytes.baseAddress { end.copyMemory(from: from, byteCount: bytes.count) }
            if let from = rest.baseAddress {
                (end + bytes.count).copyMemory(from: from, byteCount: rest.count)
            }
            self.end = end + bytes.count + rest.count
            room -= bytes.count + rest.count
            return true
        }
    }

    /// In place of a block's number.
    private static let none: Int32 = -1

    private let scratch: String
    private let memory: UnsafeMutableRawBufferPointer
    let blockBytes: Int
    /// For each block the one that follows it in its chain, and its bytes in use; those of a chain's last block are told by
    /// the chain.
    private var next: [Int32]
    private var used: [Int32]
    private var free: [Int32]
    private var chains: [Chain]
    /// Where in the file each key's bytes are, in the order in which they were appended.
    private var extents: [[Extent]]
    private var descriptor: Int32 = -1
    private var fileBytes = 0
    private let taking = Mutex(())

    /// - Parameters:
    ///   - keys: Keys are `0..<keys`.
    ///   - scratch: A folder for the temporary file, which is made when the budget is passed.
    ///   - budgetBytes: Of what is kept in memory; a kilobyte at least.
    init(keys: Int, scratch: String, budgetBytes: Int) {
        self.scratch = scratch
        // Pages, so that they can be given back; small ones where there is little, so that several keys find room.
        let page = 4_096
        let budget = max(budgetBytes, page)
        blockBytes = min(64 << 10, max(page, budget / 64 / page * page))
        let count = budget / blockBytes
        memory = Self.reserve(count * blockBytes)
        next = Array(repeating: Self.none, count: count)
        used = Array(repeating: 0, count: count)
        // The first ones are taken first: what is never reached is never in memory.
        free = (0..<Int32(clamping: count)).reversed()
        chains = Array(repeating: Chain(), count: keys)
        extents = Array(repeating: [], count: keys)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        munmap(memory.baseAddress, memory.count)
    }

    /// Whether anything was written to disk.
    var hasSpilled: Bool { descriptor >= 0 }

    /// Bytes of blocks that hold something. Never more than the budget.
    var memoryBytes: Int { (next.count - free.count) * blockBytes }

    /// One more key.
    func addKey() -> Int {
        chains.append(Chain())
        extents.append([])
        return chains.count - 1
    }

    func isEmpty(_ key: Int) -> Bool { chains[key].first == Self.none && extents[key].isEmpty }

    // MARK: Appending

    /// Appends a record whole: neither a block nor a file's extent ever ends within one.
    ///
    /// - Parameter rest: The record's second part.
    @inline(__always)
    func append(
        _ bytes: UnsafeRawBufferPointer, and rest: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        to key: Int
    ) throws {
        if chains[key].add(bytes, rest) { return }
        try appendToNext(bytes, rest, key)
    }

    private func appendToNext(
        _ bytes: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer, _ key: Int
    ) throws {
        if bytes.count + rest.count > blockBytes { return try appendLarge(bytes, rest, to: key) }
        try addBlock(to: key)
        _ = chains[key].add(bytes, rest)
    }

    private func addBlock(to key: Int) throws {
        if free.isEmpty { try flush() }
        let block = free.removeLast()
        closeBlock(of: key)
        next[Int(block)] = Self.none
        if chains[key].last == Self.none {
            chains[key].first = block
        } else {
            next[Int(chains[key].last)] = block
        }
        chains[key].last = block
        chains[key].end = start(of: block)
        chains[key].room = blockBytes
    }

    /// One that fits into no block goes to the file, behind what the key has in memory.
    private func appendLarge(
        _ bytes: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer, to key: Int
    ) throws {
        try flush(key)
        let start = fileBytes
        try write(bytes)
        try write(rest)
        extents[key].append(Extent(offset: start, count: fileBytes - start))
    }

    private func start(of block: Int32) -> UnsafeMutableRawPointer? {
        memory.baseAddress.map { $0 + Int(block) * blockBytes }
    }

    /// Notes how much of its last block a key has used.
    private func closeBlock(of key: Int) {
        let last = chains[key].last
        if last != Self.none { used[Int(last)] = Int32(blockBytes - chains[key].room) }
    }

    /// Nothing is appended any more. What is still in memory goes to the file, if there is one, so that the memory is there
    /// for those who take.
    func finish() throws {
        guard hasSpilled else { return }
        try flush()
        madvise(memory.baseAddress, memory.count, MADV_DONTNEED)
    }

    private func flush() throws {
        for key in chains.indices { try flush(key) }
    }

    private func flush(_ key: Int) throws {
        if descriptor < 0 { descriptor = try Self.openNameless(in: scratch) }
        let start = fileBytes
        try visitBlocks(of: key) { try write($0) }
        if fileBytes > start { extents[key].append(Extent(offset: start, count: fileBytes - start)) }
        freeBlocks(of: key)
    }

    private func visitBlocks(of key: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        closeBlock(of: key)
        var block = chains[key].first
        while block != Self.none {
            try body(UnsafeRawBufferPointer(start: start(of: block), count: Int(used[Int(block)])))
            block = next[Int(block)]
        }
    }

    private func freeBlocks(of key: Int) {
        var block = chains[key].first
        while block != Self.none {
            free.append(block)
            block = next[Int(block)]
        }
        chains[key] = Chain()
    }

    // MARK: Taking

    /// How many bytes a key has.
    func count(_ key: Int) -> Int {
        taking.withLock { _ in countLocked(key) }
    }

    private func countLocked(_ key: Int) -> Int {
        var count = extents[key].reduce(0) { $0 + $1.count }
        visitBlocks(of: key) { count += $0.count }
        return count
    }

    /// Everything that was appended to a key, in order; then forgets it.
    ///
    /// - Parameter make: Is given how many bytes there are, and what fills them in.
    func takeWhole<Taken: Sendable>(
        _ key: Int,
        _ make: (_ count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Taken
    ) throws -> Taken {
        try taking.withLock { _ in
            let taken = try make(countLocked(key)) { into in
                var place = 0
                for extent in extents[key] {
                    try read(
                        at: extent.offset,
                        into: UnsafeMutableRawBufferPointer(rebasing: into[place..<place + extent.count]))
                    place += extent.count
                }
                visitBlocks(of: key) { bytes in
                    UnsafeMutableRawBufferPointer(rebasing: into[place..<place + bytes.count])
                        .copyMemory(from: bytes)
                    place += bytes.count
                }
            }
            forget(key)
            return taken
        }
    }

    /// The same in pieces, which are cut anywhere.
    func take(_ key: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try taking.withLock { _ in
            try visitLocked(key, body)
            forget(key)
        }
    }

    /// The same without forgetting it.
    func visit(_ key: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try taking.withLock { _ in try visitLocked(key, body) }
    }

    private func visitLocked(_ key: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        for extent in extents[key] {
            for start in stride(from: 0, to: extent.count, by: Self.pieceBytes) {
                let count = min(Self.pieceBytes, extent.count - start)
                var piece = [UInt8](repeating: 0, count: count)
                try piece.withUnsafeMutableBytes { try read(at: extent.offset + start, into: $0) }
                try piece.withUnsafeBytes(body)
            }
        }
        try visitBlocks(of: key, body)
    }

    private static let pieceBytes = 1 << 20

    private func forget(_ key: Int) {
        extents[key] = []
        // The system gets the memory back at once: what is made of the bytes needs it.
        visitBlocks(of: key) {
            madvise(UnsafeMutableRawPointer(mutating: $0.baseAddress), blockBytes, MADV_DONTNEED)
        }
        freeBlocks(of: key)
    }

    // MARK: Memory and file

    /// Pages that are there once they are written to.
    private static func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let start = mmap(
            nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let start, start != MAP_FAILED else {
            preconditionFailure("there is no room for \(count) bytes")
        }
        return UnsafeMutableRawBufferPointer(start: start, count: count)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while let start = bytes.baseAddress, done < bytes.count {
            let count = pwrite(descriptor, start + done, bytes.count - done, off_t(fileBytes + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(scratch) }
            done += count
        }
        fileBytes += done
    }

    private func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws {
        var done = 0
        while let start = bytes.baseAddress, done < bytes.count {
            let count = pread(descriptor, start + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(scratch) }
            done += count
        }
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
