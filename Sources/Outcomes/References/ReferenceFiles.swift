import Crypto
import Features
import Lake
import ObjectStore

/// What a refresh keeps in the lake so that the next one reads a day and not all days:
///
/// - `references/state/yyyy/mm/dd.state`: the state at the start of a day;
/// - `references/keys/yyyy/mm/dd.keys`: the keys of a day's transactions, by which later labels find them.
struct ReferenceFiles {
    let lake: any ObjectStore

    /// A state and what a later refresh must know besides.
    struct Checkpoint {
        var day: LakeDay
        var lagDays: Int
        var state: ReferenceState
        /// Labels whose transaction has not come yet.
        var waiting: [UInt64: WaitingLabel]
        /// Label files that are in, by a hash of their name and content.
        var seen: Set<UInt64>
    }

    struct WaitingLabel: BitwiseCopyable {
        var knownAt: Int64
        var isFraud: Bool
    }

    private static let stateMagic = "MLREFST1"
    private static let keysMagic = "MLREFKY1"
    /// States that are kept: an older `--as-of` begins at the lake's first day.
    private static let keptStates = 3

    private func stateKey(_ day: LakeDay) -> String { "references/state/\(day.path).state" }
    private func keysKey(_ day: LakeDay) -> String { "references/keys/\(day.path).keys" }

    // MARK: States

    /// The latest state of a day not after `day`, made with the same lag; damaged ones are passed over.
    func checkpoint(notAfter day: LakeDay, lagDays: Int) throws -> Checkpoint? {
        for stored in try stateDays().reversed() where stored <= day {
            guard let bytes = try lake.get(stateKey(stored))?.bytes else { continue }
            guard let found = try? decode(bytes, day: stored), found.lagDays == lagDays else { continue }
            return found
        }
        return nil
    }

    private func stateDays() throws -> [LakeDay] {
        let prefix = "references/state/"
        return try lake.listAll(prefix: prefix).compactMap { object in
            guard object.key.hasSuffix(".state") else { return nil }
            let text = object.key.dropFirst(prefix.count).dropLast(6)
            return LakeDay(parsing: text.split(separator: "/").joined(separator: "-"))
        }.sorted()
    }

    func write(_ checkpoint: Checkpoint) throws {
        try lake.put(stateKey(checkpoint.day), encode(checkpoint), if: .always)
        for day in try stateDays().filter({ $0 <= checkpoint.day }).dropLast(Self.keptStates) {
            try lake.delete(stateKey(day))
        }
    }

    private func encode(_ checkpoint: Checkpoint) -> [UInt8] {
        let state = checkpoint.state
        var writer = ByteWriter(magic: Self.stateMagic)
        writer.append(Int64(checkpoint.lagDays))
        writer.append(state.landmark)
        append(state.total, to: &writer)
        let things = state.places.sorted { $0.key < $1.key }
        writer.append(UInt64(things.count))
        for (key, place) in things {
            writer.append(key)
            append(state.sums[Int(place)], to: &writer)
        }
        writer.append(UInt64(state.frauds.count))
        for (transaction, fraud) in state.frauds.sorted(by: { $0.key < $1.key }) {
            writer.append(transaction)
            writer.append(fraud.step)
            writer.append(fraud.logAmount)
            append(fraud.keys, to: &writer)
        }
        writer.append(UInt64(checkpoint.waiting.count))
        for (transaction, label) in checkpoint.waiting.sorted(by: { $0.key < $1.key }) {
            writer.append(transaction)
            writer.append(label.knownAt)
            writer.append(UInt8(label.isFraud ? 1 : 0))
        }
        writer.append(UInt64(checkpoint.seen.count))
        for file in checkpoint.seen.sorted() { writer.append(file) }
        return writer.finish()
    }

    private func decode(_ bytes: [UInt8], day: LakeDay) throws -> Checkpoint {
        var reader = try ByteReader(bytes, magic: Self.stateMagic, name: stateKey(day))
        let lagDays = Int(try reader.integer(Int64.self))
        let landmark = try reader.integer(Int64.self)
        let total = try sums(&reader)
        var keys: [UInt64] = []
        var sums: [ReferenceState.Sums] = []
        for _ in 0..<(try reader.count(of: 88)) {
            keys.append(try reader.integer())
            sums.append(try self.sums(&reader))
        }
        var frauds: [UInt64: ReferenceState.Fraud] = [:]
        for _ in 0..<(try reader.count(of: 64)) {
            let transaction = try reader.integer(UInt64.self)
            let step = try reader.integer(Int64.self)
            let logAmount = try reader.double()
            frauds[transaction] = .init(step: step, logAmount: logAmount, keys: try referenceKeys(&reader))
        }
        var waiting: [UInt64: WaitingLabel] = [:]
        for _ in 0..<(try reader.count(of: 17)) {
            let transaction = try reader.integer(UInt64.self)
            let knownAt = try reader.integer(Int64.self)
            waiting[transaction] = .init(knownAt: knownAt, isFraud: try reader.integer(UInt8.self) == 1)
        }
        var seen: Set<UInt64> = []
        for _ in 0..<(try reader.count(of: 8)) { seen.insert(try reader.integer()) }
        return Checkpoint(
            day: day, lagDays: lagDays,
            state: ReferenceState(landmark: landmark, keys: keys, sums: sums, total: total, frauds: frauds),
            waiting: waiting, seen: seen)
    }

    private func append(_ sums: ReferenceState.Sums, to writer: inout ByteWriter) {
        for place in 0..<4 { writer.append(sums.frauds[place]) }
        for place in 0..<3 { writer.append(sums.counts[place]) }
        for place in 0..<3 { writer.append(sums.amounts[place]) }
    }

    private func sums(_ reader: inout ByteReader) throws -> ReferenceState.Sums {
        func three() throws -> SIMD4<Double> {
            SIMD4(try reader.double(), try reader.double(), try reader.double(), 0)
        }
        var frauds = try three()
        frauds[3] = try reader.double()
        return .init(frauds: frauds, counts: try three(), amounts: try three())
    }

    private func append(_ keys: ReferenceKeys, to writer: inout ByteWriter) {
        for key in [keys.merchant, keys.device, keys.country, keys.category, keys.user] { writer.append(key) }
    }

    private func referenceKeys(_ reader: inout ByteReader) throws -> ReferenceKeys {
        ReferenceKeys(
            keys: (
                try reader.integer(), try reader.integer(), try reader.integer(), try reader.integer(),
                try reader.integer()
            ))
    }

    // MARK: Keys of a day

    /// Ascending by transaction.
    func write(_ rows: [ReferenceRow], of day: LakeDay) throws {
        var writer = ByteWriter(magic: Self.keysMagic)
        writer.append(UInt64(rows.count))
        for row in rows.sorted(by: { $0.transaction < $1.transaction }) {
            writer.append(row.transaction)
            writer.append(row.milliseconds)
            writer.append(row.amount)
            append(row.keys, to: &writer)
        }
        let bytes = writer.finish()
        let key = keysKey(day)
        if let summary = try lake.head(key), summary.sizeBytes == bytes.count,
            try lake.get(key)?.bytes == bytes
        {
            return
        }
        try lake.put(key, bytes, if: .always)
    }

    /// Nothing when the day has no such file.
    func rows(of day: LakeDay) throws -> [ReferenceRow] {
        guard let bytes = try lake.get(keysKey(day))?.bytes else { return [] }
        var reader = try ByteReader(bytes, magic: Self.keysMagic, name: keysKey(day))
        return try (0..<(try reader.count(of: 64))).map { _ in
            ReferenceRow(
                transaction: try reader.integer(), milliseconds: try reader.integer(),
                amount: try reader.double(), keys: try referenceKeys(&reader))
        }
    }

    /// A hash of a file's name and content.
    static func hash(_ file: LakeFile) -> UInt64 {
        let digest = SHA256.hash(data: Array("\(file.key) \(file.tag.text)".utf8))
        return digest.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }
}
