import Exact
import Features
import Kafka
import Models
import Outcomes
import Rules
import Transactions

/// A message that is no transaction, among those to be scored.
public struct RejectedTransaction: Error, CustomStringConvertible {
    /// Which one.
    public let index: Int
    public let rejection: Rejection

    public var description: String { "transaction \(index): \(rejection.detail)" }
}

/// Scores transactions that are not in the stream, against the windows as they stand. Changes nothing. Thread-safe.
///
/// It is the stream's own stages on a copy of what the window store holds: the transactions are taken for the next ones of
/// their users' partitions, so that they get the bytes that the stream would give them, but for `source`, which is null.
/// Several transactions of one user follow one another, as in the stream. Where a partition has a batch that is written and
/// not yet delivered, its records count: they are read, and nothing but a lost log could take them back.
public final class OnDemandScoring: Sendable {
    private let windows: any WindowStore
    private let router: ModelRouter
    private let references: CurrentReferences?
    private let rules: CurrentRules?
    private let settings: ScoringWorker.Settings
    private let now: (@Sendable () -> Int64)?

    /// A new user's partition is known to nobody. Partitions below this one are asked for a record, and the first that has
    /// one tells the time and whether windows were lost.
    private static let probedPartitions = Array(Int32(0)..<64)

    /// - Parameters:
    ///   - windows: Read only; a Redis connection should be one of its own.
    ///   - now: Milliseconds since 1970 UTC, where the stream's records carry the time at which it took them in; nil: they
    ///     do not.
    public init(
        windows: any WindowStore, router: ModelRouter, references: CurrentReferences?,
        rules: CurrentRules? = nil,
        settings: ScoringWorker.Settings, now: (@Sendable () -> Int64)?
    ) {
        self.windows = windows
        self.router = router
        self.references = references
        self.rules = rules
        self.settings = settings
        self.now = now
    }

    /// The model that serves a tenant now; nil: it has none, or it cannot serve.
    public func activeModel(of tenant: Tenant) throws -> ReadyModel? {
        guard let userID = tenant.userID else { return try router.globalModel() }
        let route = try Array(userID.utf8).withUnsafeBufferPointer {
            try router.model(for: $0, hash: TextHash.hash(userID), in: router.snapshot())
        }
        if case .user(let model) = route { return model }
        return nil
    }

    /// - Parameters:
    ///   - messages: One JSON object each.
    ///   - model: Scores all of them; nil: each user's own, or the global one.
    ///   - explainsAll: What is no anomaly gets reasons too, which no verdict of the stream has.
    ///   - check: Called with every user's id, before anything is read.
    /// - Throws: `RejectedTransaction` for the first message that is none; `ServingError`, and what stores throw.
    public func score(
        _ messages: [ArraySlice<UInt8>], by model: ReadyModel? = nil, explainsAll: Bool = false,
        check: (_ userID: String) throws -> Void = { _ in }
    ) throws -> ScoredBatch {
        let transactions = try Self.parse(messages, zone: settings.zone)
        let index = UserIndex(transactions)
        for slot in 0..<index.count { try check(index.keys.text(slot)) }
        let (consumed, frozen) = try freeze(transactions, index)
        let stage = WindowStage(store: frozen, writer: 1, settings: settings.windows)
        let windowed = try stage.run(consumed)
        let route = RouteStage(
            router: router, references: references, referenceAgeHours: settings.referenceAgeHours)
        let routed = try model.map { try route.run(windowed, by: $0) } ?? route.run(windowed)
        let scored = try ScoreStage(
            router: router, reasonCount: settings.reasonCount, explainsAll: explainsAll
        ).run(routed)
        return RuleStage(rules).run(scored)
    }

    private static func parse(
        _ messages: [ArraySlice<UInt8>], zone: PlaceZone?
    ) throws -> TransactionBatch {
        let bytes = messages.flatMap { $0 }
        return try bytes.withUnsafeBytes { bytes in
            var start = 0
            let payloads = messages.map { message in
                defer { start += message.count }
                return UnsafeRawBufferPointer(rebasing: bytes[start..<start + message.count])
            }
            let parsed = TransactionParser(zone: zone).parsed(payloads)
            if let rejection = parsed.rejections.first {
                throw RejectedTransaction(index: Int(rejection.messageIndex), rejection: rejection)
            }
            return parsed.transactions
        }
    }

    // MARK: The windows of this moment

    private func freeze(
        _ transactions: TransactionBatch, _ index: UserIndex
    ) throws -> (ConsumedBatch, FrozenWindows) {
        var items: [FrozenWindows.Item] = []
        try windows.read(index.keys, partitions: []) { _, _ in
        } user: { _, stored in
            switch stored {
            case .none: items.append(.none)
            case .foreign: items.append(.foreign)
            case .blob(let bytes): items.append(.blob(Array(bytes)))
            }
        }
        let blobs = zip(items, index.hashes).map { item, hash -> WindowPlace? in
            if case .blob(let bytes) = item { WindowPlace(bytes, owner: hash) } else { nil }
        }
        let known = Set(blobs.compactMap { $0?.partition })
        let asked = known.isEmpty ? Self.probedPartitions : known.sorted()
        var records: [Int32: [UInt8]] = [:]
        try windows.read(UserKeys(), partitions: asked) { place, bytes in
            if let bytes { records[asked[place]] = Array(bytes) }
        } user: { _, _ in
        }
        let home = known.min() ?? records.keys.min() ?? 0
        let homes = blobs.map { $0?.partition ?? home }
        let slices = Set(homes).sorted().map { number in
            slice(number, record: records[number], blobs: blobs.compactMap { $0 })
        }
        return (
            consumed(transactions, index, homes: homes, slices),
            FrozenWindows(windows, items: items, records: records)
        )
    }

    /// Where the next record of a partition will be.
    private func slice(_ number: Int32, record: [UInt8]?, blobs: [WindowPlace]) -> PartitionSlice {
        let written = blobs.filter { $0.partition == number }.map(\.endOffset).max()
        let recorded = record?.withUnsafeBytes { try? PartitionRecord($0, partition: number).endOffset }
        // Far from the end of the numbers, whatever a store holds.
        let start = min(max(recorded ?? written ?? 0, 0), .max - Int64(Int32.max))
        return PartitionSlice(
            source: TopicPartition(topic: "", partition: number), start: start, end: start,
            isAtBeginning: record == nil && written == nil)
    }

    private func consumed(
        _ transactions: TransactionBatch, _ index: UserIndex, homes: [Int32], _ starts: [PartitionSlice]
    ) -> ConsumedBatch {
        let places = Dictionary(
            uniqueKeysWithValues: starts.enumerated().map { ($1.source.partition, $0) })
        var next = starts.map(\.start)
        var offsets: [Int64] = []
        var sliceIndex: [Int32] = []
        for row in 0..<transactions.count {
            let place = places[homes[Int(index.slots[row])]] ?? 0
            offsets.append(next[place])
            sliceIndex.append(Int32(truncatingIfNeeded: place))
            next[place] += 1
        }
        let slices = zip(starts, next).map { slice, end in
            PartitionSlice(
                source: slice.source, start: slice.start, end: end, isAtBeginning: slice.isAtBeginning)
        }
        return ConsumedBatch(
            transactions: transactions, offsets: offsets, sliceIndex: sliceIndex, slices: slices,
            deadLetters: [], assignment: 0, wronglyKeyed: 0,
            recordTimes: now.map { Array(repeating: $0(), count: transactions.count) })
    }
}

/// Of which partition a stored window is, and how far it reaches.
private struct WindowPlace {
    let partition: Int32
    let endOffset: Int64

    /// nil: it is damaged, or of no partition.
    init?(_ bytes: [UInt8], owner: UInt64) {
        let place = bytes.withUnsafeBytes { bytes -> (Int32, Int64)? in
            guard let blob = try? WindowBlob(bytes, owner: owner), blob.partition != WindowBlob.noPartition
            else { return nil }
            return (blob.partition, blob.endOffset)
        }
        guard let place else { return nil }
        (partition, endOffset) = place
    }
}
