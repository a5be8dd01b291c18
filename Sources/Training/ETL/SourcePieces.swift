import Lake
import ObjectStore

/// Fetches a raw source piece by piece, and takes it apart where it is compressed.
struct SourcePieces {
    let raw: any ObjectStore
    let limits: ETL.Limits

    /// Why a source cannot be read, where such are left out: all of it is tried before a row of it is used.
    ///
    /// - Returns: nil: it can be read, or is not compressed, so that every row speaks for itself.
    func problem(of source: ObjectSummary, isCancelled: () -> Bool) throws -> String? {
        guard limits.badFiles == .skip, Inflater.Format(fileName: source.key) != nil else { return nil }
        do {
            try read(source, isCancelled: isCancelled, body: { _ in })
            return nil
        } catch let error as LakeError where error.isOfFile {
            return "\(error)"
        }
    }

    /// - Parameters:
    ///   - progress: Told how many bytes of the source have been fetched since the last time.
    /// - Throws: `TrainingError.cancelled`, `LakeError.changed` when the source was replaced meanwhile, `.unreadable` and
    ///   `.tooLarge` for one that cannot be taken apart; the store's errors; what `body` throws.
    func read(
        _ source: ObjectSummary, isCancelled: () -> Bool, progress: (Int) -> Void = { _ in },
        body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        let name = "\(raw.location)/\(source.key)"
        let inflater = try Inflater.Format(fileName: source.key).map {
            try Inflater($0, file: name, freeBytes: limits.inflatedBytes)
        }
        var offset = 0
        while offset < source.sizeBytes {
            if isCancelled() { throw TrainingError.cancelled }
            let end = min(offset + limits.pieceBytes, source.sizeBytes)
            let piece = try raw.get(source.key, range: offset..<end)
            try piece.withUnsafeBufferPointer { piece in
                guard let inflater else { return try body(piece) }
                try inflater.read(piece) {
                    if isCancelled() { throw TrainingError.cancelled }
                    try body($0)
                }
            }
            progress(end - offset)
            offset = end
        }
        guard try raw.head(source.key)?.tag == source.tag else { throw LakeError.changed(file: name) }
        try inflater?.finish()
    }
}
