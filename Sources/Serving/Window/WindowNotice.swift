/// Something that was found wrong with what the window store holds. Each is counted and logged once.
public enum WindowNotice: Sendable, Hashable {
    /// A user's window could not be read. Its bytes are kept under another name; the user's window began empty.
    case damaged(user: String, key: String, reason: String)
    /// The partition's record could not be read.
    case recordDamaged(partition: Int32, reason: String)
    /// The store holds windows up to `watermark` only (nil: none), the stream is committed up to `committed`.
    case lost(partition: Int32, watermark: Int64?, committed: Int64)
    /// Offsets were set forward, from `watermark` to `start`.
    case behind(partition: Int32, watermark: Int64, start: Int64)
    /// Offsets were set back, from `watermark` to `start`.
    case ahead(partition: Int32, watermark: Int64, start: Int64)
    /// The store has thrown windows away for want of memory.
    case evicted(count: Int)
    /// Windows of an older version, which named no service, were taken over.
    case adopted(users: Int)

    var isDamage: Bool {
        switch self {
        case .damaged, .recordDamaged: true
        default: false
        }
    }

    /// Windows lack records.
    var isLoss: Bool {
        switch self {
        case .lost, .behind, .evicted, .recordDamaged: true
        default: false
        }
    }

    /// What it is and what to do, for people.
    func message(store: String) -> String {
        let mend = "`ml-service windows rebuild` makes them whole"
        return switch self {
        case .damaged(let user, let key, let reason):
            "the window of \(user) in \(store) was damaged (\(reason)): it is kept as \(key), the user's verdicts are marked window-damaged; \(mend)"
        case .recordDamaged(let partition, let reason):
            "the record of partition \(partition) in \(store) was damaged (\(reason))"
        case .lost(let partition, nil, let committed):
            "\(store) has no windows of partition \(partition), which is committed up to \(committed): verdicts are marked windows-lost for 30 days; \(mend)"
        case .lost(let partition, let watermark?, let committed):
            "\(store) has windows of partition \(partition) up to \(watermark), which is committed up to \(committed): verdicts are marked windows-lost for 30 days; \(mend)"
        case .behind(let partition, let watermark, let start):
            "the offset of partition \(partition) was set forward from \(watermark) to \(start): windows lack the records between, verdicts are marked window-behind for 30 days; \(mend)"
        case .ahead(let partition, let watermark, let start):
            "the offset of partition \(partition) was set back from \(watermark) to \(start): records that a window already holds are scored, marked window-ahead and not counted again"
        case .evicted(let count):
            "\(store) has thrown \(count) items away for want of memory: users without a window are marked windows-lost for 30 days; give it more memory and maxmemory-policy noeviction; \(mend)"
        case .adopted(let users):
            "windows of an older version were taken over for \(users) users of a batch: if two services shared this prefix, theirs are mixed; \(mend)"
        }
    }
}
