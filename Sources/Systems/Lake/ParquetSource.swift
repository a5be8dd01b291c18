import CParquet
import ObjectStore
import Synchronization

/// Bytes of one file, handed to the Parquet reader by ranges. Thread-safe.
final class ParquetSource: Sendable {
    /// How the file is called in errors.
    let name: String
    let sizeBytes: Int
    private let fetch: @Sendable (Range<Int>) throws(ObjectStoreError) -> [UInt8]
    /// What is still known of the file; nil: nothing is kept.
    private let recent: RecentBytes.File?
    private let state = Mutex(State())

    struct Counts: Sendable {
        var requests = 0
        var bytes = 0
    }

    private struct State {
        var counts = Counts()
        var ahead: [Range<Int>: ReadAhead.Ticket] = [:]
        var failure: ObjectStoreError?
    }

    init(
        name: String, sizeBytes: Int, recent: RecentBytes.File? = nil,
        fetch: @escaping @Sendable (Range<Int>) throws(ObjectStoreError) -> [UInt8]
    ) {
        self.recent = recent
        self.name = name
        self.sizeBytes = sizeBytes
        self.fetch = fetch
    }

    convenience init(store: any ObjectStore, key: String, sizeBytes: Int, recent: RecentBytes.File? = nil) {
        self.init(name: "\(store.location)/\(key)", sizeBytes: sizeBytes, recent: recent) {
            range throws(ObjectStoreError) in
            try store.get(key, range: range)
        }
    }

    convenience init(name: String, bytes: [UInt8]) {
        self.init(name: name, sizeBytes: bytes.count) { range throws(ObjectStoreError) in Array(bytes[range])
        }
    }

    /// What was fetched so far; what was still known is not counted.
    var counts: Counts { state.withLock { $0.counts } }

    /// Why the last read failed.
    var failure: ObjectStoreError? { state.withLock { $0.failure } }

    /// Makes a request that is going to be made anyway, on another thread.
    func fetchAhead(_ range: Range<Int>, by readAhead: ReadAhead) {
        if recent?.bytes(range) != nil { return }
        let fetch = fetch
        let ticket = readAhead.start { () throws(ObjectStoreError) in try fetch(range) }
        state.withLock { $0.ahead[range] = ticket }
    }

    private func bytes(_ range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        if let known = recent?.bytes(range) { return known }
        let ticket = state.withLock { $0.ahead.removeValue(forKey: range) }
        let bytes = if let ticket { try ticket.wait().get() } else { try fetch(range) }
        state.withLock {
            $0.counts.requests += 1
            $0.counts.bytes += range.count
        }
        if bytes.count == range.count { recent?.keep(bytes, range) }
        return bytes
    }

    fileprivate func read(_ range: Range<Int>, into destination: UnsafeMutableRawPointer) -> Bool {
        do throws(ObjectStoreError) {
            let bytes = try bytes(range)
            guard bytes.count == range.count else {
                throw .failed(
                    location: name,
                    reason: "gave \(bytes.count) bytes of the \(range.count) from \(range.lowerBound) on")
            }
            UnsafeMutableRawBufferPointer(start: destination, count: bytes.count).copyBytes(from: bytes)
            return true
        } catch {
            state.withLock { $0.failure = error }
            return false
        }
    }

    /// Calls `body` with the C form of this source, which borrows it: the source must outlive whatever keeps that.
    func withPointer<R>(_ body: (UnsafePointer<pq_source>) throws -> R) rethrows -> R {
        var source = pq_source(
            context: Unmanaged.passUnretained(self).toOpaque(),
            read: { context, offset, length, destination in
                guard let context, let destination else { return false }
                let source = Unmanaged<ParquetSource>.fromOpaque(context).takeUnretainedValue()
                return source.read(Int(offset)..<Int(offset + length), into: destination)
            },
            size_bytes: Int64(sizeBytes))
        return try body(&source)
    }
}
