import CParquet

/// Takes gzip or zstd apart, piece by piece, in bounded memory. Used by one thread at a time.
///
///     let inflater = try Inflater(.gzip, file: "raw/day.csv.gz")
///     try inflater.read(piece) { try splitter.split($0, ...) }
///     try inflater.finish()
public final class Inflater {
    public enum Format: Sendable, Hashable {
        case gzip, zstd

        /// By the end of a file's name: `.gz`, `.zst`, `.zstd`; nil: it is not compressed.
        public init?(fileName: String) {
            switch fileName.split(separator: ".").last?.lowercased() {
            case "gz", "gzip": self = .gzip
            case "zst", "zstd": self = .zstd
            default: return nil
            }
        }
    }

    /// A file that has given so many bytes may give no more than `maximumRatio` times what went in.
    public static let freeBytes = 64 << 20
    /// Text of transactions shrinks to a tenth or a thirtieth; gzip could do 1,032 to one, zstd far more.
    public static let maximumRatio = 200

    private let pointer: OpaquePointer
    private let file: String
    private let freeBytes: Int
    private var output = [UInt8](repeating: 0, count: 1 << 20)
    private var readBytes = 0
    private var writtenBytes = 0
    /// Nothing of the present member, gzip's word, or frame, zstd's, has come yet.
    private var isBetween = true

    /// - Parameters:
    ///   - file: For errors.
    ///   - freeBytes: That may come out whatever went in.
    public init(_ format: Format, file: String, freeBytes: Int = Inflater.freeBytes) throws(LakeError) {
        var error = pq_error()
        guard let pointer = pq_inflater_make(format == .gzip ? PQ_GZIP : PQ_ZSTD, &error) else {
            throw .unreadable(file: file, reason: error.text)
        }
        self.pointer = pointer
        self.file = file
        self.freeBytes = freeBytes
    }

    deinit { pq_inflater_free(pointer) }

    /// - Parameter body: Called with what the piece gives, a mebibyte at most at a time.
    /// - Throws: `LakeError.unreadable` for damaged bytes, `.tooLarge` for a file that blows up beyond all measure; what
    ///   `body` throws.
    public func read(
        _ piece: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        var rest = piece[...]
        while true {
            if pq_inflater_is_finished(pointer) {
                // Files may be several ones, put one after the other.
                guard !rest.isEmpty else { return }
                var error = pq_error()
                guard pq_inflater_reset(pointer, &error) else { throw unreadable(error) }
                isBetween = true
            }
            let (read, written) = try step(UnsafeBufferPointer(rebasing: rest))
            rest = rest.dropFirst(read)
            readBytes += read
            writtenBytes += written
            if read > 0 { isBetween = false }
            guard writtenBytes <= freeBytes || writtenBytes / Self.maximumRatio <= readBytes else {
                throw LakeError.tooLarge(
                    file: file,
                    reason: "\(readBytes) bytes of it have become \(writtenBytes), more than "
                        + "\(Self.maximumRatio) times as many; unpack it yourself if that is meant")
            }
            if written > 0 {
                try output.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[..<written])) }
            }
            // What fits into no more output comes with the next turn.
            if rest.isEmpty, written < output.count { return }
            if read == 0, written == 0, !pq_inflater_is_finished(pointer) { return }
        }
    }

    /// - Throws: `LakeError.unreadable` when the file ends in the middle.
    public func finish() throws(LakeError) {
        guard isBetween || pq_inflater_is_finished(pointer) else {
            throw .unreadable(file: file, reason: "it ends in the middle; write it again")
        }
    }

    private func step(_ piece: UnsafeBufferPointer<UInt8>) throws(LakeError) -> (read: Int, written: Int) {
        var (read, written): (Int64, Int64) = (0, 0)
        var error = pq_error()
        let isDone = output.withUnsafeMutableBufferPointer {
            pq_inflate(
                pointer, piece.baseAddress, Int64(piece.count), $0.baseAddress, Int64($0.count), &read,
                &written,
                &error)
        }
        guard isDone else { throw unreadable(error) }
        return (Int(read), Int(written))
    }

    private func unreadable(_ error: pq_error) -> LakeError {
        .unreadable(file: file, reason: "\(error.text); write it again")
    }
}
