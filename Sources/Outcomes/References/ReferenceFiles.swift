import Features
import Lake
import ObjectStore

/// What a refresh keeps in the lake so that the next one reads a day and not all days:
///
/// - `references/state/yyyy/mm/dd.state`: the state at the start of a day, and from which files it was made;
/// - `references/keys/yyyy/mm/dd.keys`: the keys of a day's transactions, by which later labels find them.
///
/// Neither is needed: what is missing, damaged, of an earlier format or of other files is made anew.
struct ReferenceFiles {
    let lake: any ObjectStore

    /// A state and what a later refresh must know besides.
    struct Checkpoint {
        var day: LakeDay
        var lagDays: Int
        /// Everything before the day that the state was made from.
        var inputs: ReferenceInputs
        /// Which of that could not be read and was left out.
        var skipped: [String]
        var state: ReferenceState
        /// Labels whose transaction has not come yet.
        var waiting: [UInt64: WaitingLabel]
    }

    struct WaitingLabel: BitwiseCopyable {
        var knownAt: Int64
        var isFraud: Bool
    }

    // Version 1 did not say which files it was of.
    private static let stateMagic = "MLREFST2"
    private static let keysMagic = "MLREFKY2"

    private func stateKey(_ day: LakeDay) -> String { "references/state/\(day.path).state" }
    private func keysKey(_ day: LakeDay) -> String { "references/keys/\(day.path).keys" }

    // MARK: States

    /// The latest state of a day not after `day` that can be gone on from; damaged ones are passed over.
    func checkpoint(notAfter day: LakeDay, where isUsable: (Checkpoint) -> Bool) throws -> Checkpoint? {
        for stored in try stateDays().reversed() where stored <= day {
            guard let bytes = try lake.get(stateKey(stored))?.bytes else { continue }
            if let found = try? decode(bytes, day: stored), isUsable(found) { return found }
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
    }

    /// Whether a day's state is kept: those of the latest three days, and one of every twice as long ago. So what comes
    /// some days late has few times as many days read again.
    static func isKept(_ day: LakeDay, newest: LakeDay) -> Bool {
        let age = day.distance(to: newest)
        guard age > 2 else { return true }
        let spacing = 1 << (Int.bitWidth - 1 - age.leadingZeroBitCount)
        return day.dayNumber.isMultiple(of: spacing)
    }

    func removeOldStates(newest: LakeDay) throws {
        for day in try stateDays() where !Self.isKept(day, newest: newest) { try lake.delete(stateKey(day)) }
    }

    private func encode(_ checkpoint: Checkpoint) -> [UInt8] {
        let state = checkpoint.state
        var writer = ByteWriter(magic: Self.stateMagic)
        writer.append(Int64(checkpoint.lagDays))
        for hashes in [checkpoint.inputs.transactions, checkpoint.inputs.labels] {
            writer.append(UInt64(hashes.count))
            for (day, hash) in hashes.sorted(by: { $0.key < $1.key }) {
                writer.append(Int64(day.dayNumber))
                writer.append(hash)
            }
        }
        writer.append(UInt64(checkpoint.skipped.count))
        for reason in checkpoint.skipped { writer.append(reason) }
        writer.append(state.landmark)
        append(state.total, to: &writer)
        let things = state.places.sorted { $0.key < $1.key }
        writer.append(UInt64(things.count))
        for (key, place) in things {
            writer.append(key)
            append(state.sums[Int(place)], to: &writer)
        }
        writer.append(UInt64(state.frauds.count))
        for (_, fraud) in state.frauds.sorted(by: { $0.key < $1.key }) {
            writer.append(fraud.step)
            append(fraud.row, to: &writer)
        }
        writer.append(UInt64(checkpoint.waiting.count))
        for (transaction, label) in checkpoint.waiting.sorted(by: { $0.key < $1.key }) {
            writer.append(transaction)
            writer.append(label.knownAt)
            writer.append(UInt8(label.isFraud ? 1 : 0))
        }
        return writer.finish()
    }

    private func decode(_ bytes: [UInt8], day: LakeDay) throws -> Checkpoint {
        var reader = try ByteReader(bytes, magic: Self.stateMagic, name: stateKey(day))
        let lagDays = Int(try reader.integer(Int64.self))
        var inputs = ReferenceInputs()
        inputs.transactions = try hashes(&reader)
        inputs.labels = try hashes(&reader)
        let skipped = try (0..<(try reader.count(of: 8))).map { _ in try reader.text() }
        let landmark = try reader.integer(Int64.self)
        let total = try sums(&reader)
        var keys: [UInt64] = []
        var sums: [ReferenceState.Sums] = []
        for _ in 0..<(try reader.count(of: 88)) {
            keys.append(try reader.integer())
            sums.append(try self.sums(&reader))
        }
        var frauds: [UInt64: ReferenceState.Fraud] = [:]
        for _ in 0..<(try reader.count(of: 72)) {
            let step = try reader.integer(Int64.self)
            let row = try row(&reader)
            frauds[row.transaction] = .init(step: step, row: row)
        }
        var waiting: [UInt64: WaitingLabel] = [:]
        for _ in 0..<(try reader.count(of: 17)) {
            let transaction = try reader.integer(UInt64.self)
            let knownAt = try reader.integer(Int64.self)
            waiting[transaction] = .init(knownAt: knownAt, isFraud: try reader.integer(UInt8.self) == 1)
        }
        return Checkpoint(
            day: day, lagDays: lagDays, inputs: inputs, skipped: skipped,
            state: ReferenceState(landmark: landmark, keys: keys, sums: sums, total: total, frauds: frauds),
            waiting: waiting)
    }

    private func hashes(_ reader: inout ByteReader) throws -> [LakeDay: UInt64] {
        var hashes: [LakeDay: UInt64] = [:]
        for _ in 0..<(try reader.count(of: 16)) {
            let day = LakeDay(dayNumber: Int(try reader.integer(Int64.self)))
            hashes[day] = try reader.integer()
        }
        return hashes
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

    private func append(_ row: ReferenceRow, to writer: inout ByteWriter) {
        writer.append(row.transaction)
        writer.append(row.milliseconds)
        writer.append(row.amount)
        append(row.keys, to: &writer)
    }

    private func row(_ reader: inout ByteReader) throws -> ReferenceRow {
        ReferenceRow(
            transaction: try reader.integer(), milliseconds: try reader.integer(),
            amount: try reader.double(), keys: try referenceKeys(&reader))
    }

    // MARK: Keys of a day

    /// - Parameter inputs: Hash of the day's files.
    func write(_ rows: [ReferenceRow], of day: LakeDay, from inputs: UInt64) throws {
        var writer = ByteWriter(magic: Self.keysMagic)
        writer.append(inputs)
        writer.append(UInt64(rows.count))
        for row in rows { append(row, to: &writer) }
        let bytes = writer.finish()
        let key = keysKey(day)
        if let summary = try lake.head(key), summary.sizeBytes == bytes.count,
            try lake.get(key)?.bytes == bytes
        {
            return
        }
        try lake.put(key, bytes, if: .always)
    }

    /// nil: there are none that can be read and are of these files.
    func rows(of day: LakeDay, from inputs: UInt64) throws -> [ReferenceRow]? {
        guard let bytes = try lake.get(keysKey(day))?.bytes else { return nil }
        return try? decode(bytes, of: day, from: inputs)
    }

    private func decode(_ bytes: [UInt8], of day: LakeDay, from inputs: UInt64) throws -> [ReferenceRow]? {
        var reader = try ByteReader(bytes, magic: Self.keysMagic, name: keysKey(day))
        guard try reader.integer(UInt64.self) == inputs else { return nil }
        return try (0..<(try reader.count(of: 64))).map { _ in try row(&reader) }
    }
}
