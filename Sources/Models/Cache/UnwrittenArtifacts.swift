/// Artifacts that are in use already and still to be written to the cache. Bounded in bytes; for one thread at a time.
struct UnwrittenArtifacts {
    private var waiting: [ModelCache.Checked] = []
    private var sizeBytes = 0
    /// Somebody is writing, or about to.
    private var isTaken = false

    /// More are not kept: the disk is slower than the models that are met.
    static let maximumSize = 64 << 20
    /// Of one transaction, which others who write wait for.
    static let maximumTakenSize = 16 << 20

    /// - Returns: Whether nobody writes yet, so that the caller has to, and how many found no room.
    mutating func add(_ artifacts: [ModelCache.Checked]) -> (isFirst: Bool, dropped: Int) {
        var dropped = 0
        for artifact in artifacts {
            let size = artifact.sizeBytes
            guard sizeBytes + size <= Self.maximumSize else {
                dropped += 1
                continue
            }
            waiting.append(artifact)
            sizeBytes += size
        }
        guard !waiting.isEmpty, !isTaken else { return (false, dropped) }
        isTaken = true
        return (true, dropped)
    }

    /// The oldest ones, of `maximumTakenSize` together or one alone.
    mutating func take() -> [ModelCache.Checked] {
        var (count, size) = (0, 0)
        for artifact in waiting {
            let next = artifact.sizeBytes
            guard count == 0 || size + next <= Self.maximumTakenSize else { break }
            count += 1
            size += next
        }
        let taken = Array(waiting.prefix(count))
        waiting.removeFirst(count)
        sizeBytes -= size
        return taken
    }

    mutating func forget(where isGone: (ModelCache.Checked) -> Bool) {
        waiting.removeAll(where: isGone)
        sizeBytes = waiting.reduce(0) { $0 + $1.sizeBytes }
    }

    /// - Returns: Whether nothing is left: then whoever adds next has to write.
    mutating func finish() -> Bool {
        isTaken = !waiting.isEmpty
        return waiting.isEmpty
    }
}
