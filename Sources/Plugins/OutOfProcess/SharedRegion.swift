import CProcess
import Foundation
import Glibc

/// Memory that this process and a detector's share. It grows with what is passed and never shrinks.
final class SharedRegion {
    /// 16 GiB: more than this is no batch.
    static let maximumSize = 16 << 30

    let descriptor: Int32
    private(set) var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// New memory.
    init() throws {
        var made: Int32 = -1
        let status = process_shared_memory(&made)
        guard status == 0 else {
            throw IsolationFault("no shared memory: \(String(cString: strerror(status)))")
        }
        descriptor = made
    }

    /// Memory that another process made.
    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        if let start = bytes.baseAddress { munmap(start, bytes.count) }
        close(descriptor)
    }

    /// Makes room.
    ///
    /// - Throws: `IsolationFault` when there is none.
    func require(_ size: Int) throws {
        guard size > bytes.count else { return }
        guard size <= Self.maximumSize else { throw IsolationFault("\(size) bytes are too many to share") }
        var wanted = max(bytes.count, 1 << 16)
        while wanted < size { wanted *= 2 }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size >= wanted || ftruncate(descriptor, wanted) == 0
        else { throw IsolationFault("\(wanted) bytes cannot be shared: \(String(cString: strerror(errno)))") }
        let mapped = mmap(nil, wanted, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw IsolationFault("\(wanted) bytes cannot be mapped: \(String(cString: strerror(errno)))")
        }
        if let start = bytes.baseAddress { munmap(start, bytes.count) }
        bytes = UnsafeMutableRawBufferPointer(start: mapped, count: wanted)
    }

    /// Writes bytes, making room.
    func write(_ source: UnsafeRawBufferPointer, at offset: Int = 0) throws {
        try require(offset + source.count)
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + source.count]).copyMemory(
            from: source)
    }

    /// A copy of bytes that the other process says it has written.
    ///
    /// - Throws: `IsolationFault` when there are not so many.
    func read(_ count: UInt64, at offset: UInt64 = 0) throws -> [UInt8] {
        let (end, overflow) = count.addingReportingOverflow(offset)
        guard !overflow, end <= UInt64(Self.maximumSize) else { throw IsolationFault("too much was said") }
        try require(Int(end))
        return [UInt8](bytes[Int(offset)..<Int(end)])
    }
}

/// What went wrong between the two processes.
struct IsolationFault: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Where the parts of a call lie in the shared memory, one after another, each at a multiple of 64.
struct SharedLayout {
    private(set) var size = 0

    mutating func place<T>(_ count: Int, of type: T.Type) -> Int {
        let offset = (size + 63) & ~63
        size = offset + count * MemoryLayout<T>.stride
        return offset
    }

    /// Values, scores and, when it is explained, contributions of a batch.
    struct Batch {
        let values: Int
        let scores: Int
        let contributions: Int
        let size: Int

        init(rows: Int, columns: Int, isExplained: Bool) {
            var layout = SharedLayout()
            values = layout.place(rows * columns, of: Float.self)
            scores = layout.place(rows, of: Double.self)
            contributions = layout.place(isExplained ? rows * columns : 0, of: Double.self)
            size = layout.size
        }
    }

    /// What fitting depends on, as JSON, the values and the labels.
    struct Fit {
        let values: Int
        let labels: Int
        let size: Int

        init(context: Int, rows: Int, columns: Int) {
            var layout = SharedLayout()
            _ = layout.place(context, of: UInt8.self)
            values = layout.place(rows * columns, of: Float.self)
            labels = layout.place(rows, of: Int8.self)
            size = layout.size
        }
    }
}
