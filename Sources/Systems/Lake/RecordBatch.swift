import CParquet
import Exact
import Glibc

/// Some rows of one file, column by column. Values are converted when they are asked for, in bulk: ask once and keep
/// the array. Safe to use from several threads.
public struct RecordBatch: Sendable {
    /// Where the rows come from, for messages.
    public var file: String { batch.source.name }
    public let count: Int
    fileprivate let batch: ParquetBatch
    /// Optional columns that this file lacks: all null.
    private let missing: Set<String>
    private let zone: PlaceZone?

    init(_ batch: ParquetBatch, missing: Set<String>, zone: PlaceZone?) {
        self.batch = batch
        self.missing = missing
        self.zone = zone
        count = batch.count
    }

    /// Whether the file lacks this optional column.
    public func isMissing(_ column: String) -> Bool { missing.contains(column) }

    /// Where a row stands in its file, from 0.
    public func fileRow(_ row: Int) -> Int { batch.fileRow(row) }

    /// Numbers of any kind, decimals, booleans, and texts of numbers; NaN for null and missing.
    ///
    /// - Throws: `.wrongType` when the column holds no numbers; `.badValue` for a text that is none.
    /// - Precondition: the scan was asked for this column. So for all of these calls.
    public func reals(_ column: String) throws(LakeError) -> [Double] {
        if missing.contains(column) { return Array(repeating: .nan, count: count) }
        return try batch.values(column) { pq_batch_reals($0, $1, $2, nil, $3) }
    }

    /// The same, and for each row whether it has a number and why not.
    public func readReals(_ column: String) throws(LakeError) -> ReadColumn<Double> {
        if missing.contains(column) { return ReadColumn(missing: .nan, count: count) }
        return try batch.readValues(column) { pq_batch_reals($0, $1, $2, $3, $4) }
    }

    /// Yes, no, or nil for null and missing: booleans, numbers, of which 0 is no, and texts as `ValueText.boolean`.
    ///
    /// - Throws: `.wrongType`; `.badValue` for a text that is neither.
    public func labels(_ column: String) throws(LakeError) -> [Bool?] {
        let labels = try readLabels(column)
        for row in 0..<count {
            guard let refusal = labels.refusal(row) else { continue }
            throw .badValue(
                file: file, column: column, row: fileRow(row),
                reason: "'\(describe(column, row))' is no label: \(refusal)")
        }
        return labels.values.map { $0 < 0 ? nil : $0 == 1 }
    }

    /// The same as 1, 0 and -1, and for each row whether it has a label and why not.
    public func readLabels(_ column: String) throws(LakeError) -> ReadColumn<Int8> {
        if missing.contains(column) { return ReadColumn(missing: -1, count: count) }
        return try batch.readValues(column) { pq_batch_labels($0, $1, $2, $3, $4) }
    }

    /// Integers, booleans as 0 and 1, and reals that are whole numbers.
    ///
    /// - Throws: `.wrongType`; `.badValue` for a number that 64 bits cannot hold exactly.
    public func integers(_ column: String) throws(LakeError) -> NullableColumn<Int64> {
        if missing.contains(column) {
            return NullableColumn(
                Array(repeating: 0, count: count), isValid: Array(repeating: false, count: count))
        }
        var hasNulls = false
        var isValid: [Bool] = Array(repeating: true, count: count)
        let values: [Int64] = try batch.values(column) { pointer, place, values, error in
            isValid.withUnsafeMutableBytes {
                pq_batch_integers(
                    pointer, place, values, $0.bindMemory(to: UInt8.self).baseAddress, &hasNulls, error)
            }
        }
        return NullableColumn(values, isValid: hasNulls ? isValid : nil)
    }

    /// Booleans, and numbers that are 0 or 1.
    ///
    /// - Throws: `.wrongType`; `.badValue` for any other number.
    public func booleans(_ column: String) throws(LakeError) -> NullableColumn<Bool> {
        let integers = try integers(column)
        if let row = integers.values.firstIndex(where: { $0 != 0 && $0 != 1 }) {
            throw .badValue(
                file: file, column: column, row: fileRow(row),
                reason: "\(integers.values[row]) is neither 0 nor 1")
        }
        return NullableColumn(integers.values.map { $0 == 1 }, isValid: integers.isValid)
    }

    /// Milliseconds since 1970 UTC, rounded down, from timestamps and dates of any unit, and as `ValueText.time` from
    /// numbers and texts. Timestamps that do not say their zone are of the scan's zone, or else UTC.
    ///
    /// - Throws: `.wrongType`; `.badValue` for a null or what is no time; `.missingColumn` also for an optional column.
    public func timestamps(_ column: String) throws(LakeError) -> [Int64] {
        let times = try readTimestamps(column)
        if let row = times.firstWithoutValue {
            let reason = times.refusal(row).map { "'\(describe(column, row))': \($0)" } ?? "there is no time"
            throw .badValue(file: file, column: column, row: fileRow(row), reason: reason)
        }
        return times.values
    }

    /// The same, and for each row whether it has a time and why not.
    public func readTimestamps(_ column: String) throws(LakeError) -> ReadColumn<Int64> {
        if missing.contains(column) { throw .missingColumn(file: file, column: column) }
        return try PlaceZone.withPointer(zone) { zone throws(LakeError) in
            try batch.readValues(column) { pq_batch_timestamps($0, $1, zone, $2, $3, $4) }
        }
    }

    /// What a row holds, as much of it as a message may show.
    public func describe(_ column: String, _ row: Int) -> String { batch.describe(column, row) }

    /// Whether the column holds text.
    func isText(_ column: String) -> Bool { !missing.contains(column) && batch.isText(column) }

    /// Texts; numbers that are whole, as their digits; 16 bytes as UUIDs.
    ///
    /// - Throws: `.wrongType`; `.badValue` for a number that is not whole.
    public func texts(_ column: String) throws(LakeError) -> TextColumn {
        missing.contains(column) ? .nulls(count) : try batch.texts(column)
    }
}

/// Texts of a column in which few come again and again: each once, and for each row its number.
public struct CodedTexts: Sendable, Hashable {
    /// One a row; negative where the row has no text.
    public let codes: [Int32]
    /// Some may be no row's.
    public let texts: TextColumn
}

extension RecordBatch {
    /// A column of texts that the scan was asked to read by number.
    ///
    /// - Returns: nil where the file lacks it, holds no such texts, or so many different ones that nothing is gained; `texts`
    ///   has them then, as of any other column.
    public func codedTexts(_ column: String) throws(LakeError) -> CodedTexts? {
        isMissing(column) ? nil : try batch.codedTexts(column)
    }
}

/// Owns a batch of the C reader.
///
/// `@unchecked Sendable`: nothing changes the C batch after `keep`, which only the thread that made it calls, before
/// it gives the batch away; reading it from several threads is safe then.
final class ParquetBatch: @unchecked Sendable {
    let source: ParquetSource
    private let pointer: OpaquePointer

    init(owning pointer: OpaquePointer, source: ParquetSource) {
        self.pointer = pointer
        self.source = source
    }

    deinit {
        pq_batch_close(pointer)
    }

    var count: Int { Int(pq_batch_count(pointer)) }

    func fileRow(_ row: Int) -> Int {
        precondition((0..<count).contains(row), "no such row")
        return Int(pq_batch_file_row(pointer, Int64(row)))
    }

    /// Keeps only the rows whose column has one of these texts.
    func keep(_ column: String, in texts: WantedTexts) throws(LakeError) {
        let place = place(of: column)
        var error = pq_error()
        let kept = texts.withPointer { pq_batch_keep(pointer, place, $0, &error) }
        if !kept { throw error.asLakeError(file: source.name, column: column) }
    }

    func isText(_ column: String) -> Bool {
        pq_batch_is_text(pointer, place(of: column))
    }

    /// An array that `fill` fills.
    func values<Value>(
        _ column: String,
        fill: (OpaquePointer, Int32, UnsafeMutablePointer<Value>, UnsafeMutablePointer<pq_error>) -> Bool
    ) throws(LakeError) -> [Value] {
        let place = place(of: column)
        let count = count
        if count == 0 { return [] }
        var error = pq_error()
        var filled = false
        let values = [Value](unsafeUninitializedCapacity: count) { buffer, initialized in
            guard let start = buffer.baseAddress else { return }
            filled = fill(pointer, place, start, &error)
            initialized = filled ? count : 0
        }
        if !filled { throw error.asLakeError(file: source.name, column: column) }
        return values
    }

    /// The same with a state for each value.
    func readValues<Value>(
        _ column: String,
        fill: (
            OpaquePointer, Int32, UnsafeMutablePointer<Value>, UnsafeMutablePointer<UInt8>,
            UnsafeMutablePointer<pq_error>
        ) -> Bool
    ) throws(LakeError) -> ReadColumn<Value> {
        var states = [UInt8](repeating: 0, count: count)
        let values: [Value] = try values(column) { pointer, place, values, error in
            states.withUnsafeMutableBufferPointer { states in
                guard let start = states.baseAddress else { return true }
                return fill(pointer, place, values, start, error)
            }
        }
        return ReadColumn(values: values, states: states)
    }

    func describe(_ column: String, _ row: Int) -> String {
        let text = [CChar](unsafeUninitializedCapacity: 80) { text, initialized in
            guard let start = text.baseAddress else { return }
            pq_batch_describe(pointer, place(of: column), Int64(row), start, text.count)
            initialized = strlen(start)
        }
        return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func texts(_ column: String) throws(LakeError) -> TextColumn {
        let place = place(of: column)
        let count = count
        var error = pq_error()
        var sizeBytes: Int64 = 0
        guard pq_batch_text_size(pointer, place, &sizeBytes, &error) else {
            throw error.asLakeError(file: source.name, column: column)
        }
        var hasNulls = false
        var filled = false
        var isValid: [Bool] = Array(repeating: true, count: count)
        var offsets: [Int64] = []
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(sizeBytes)) { bytes, initialized in
            offsets = [Int64](unsafeUninitializedCapacity: count + 1) { offsets, offsetsInitialized in
                filled = isValid.withUnsafeMutableBytes {
                    pq_batch_texts(
                        pointer, place, offsets.baseAddress, bytes.baseAddress,
                        $0.bindMemory(to: UInt8.self).baseAddress, &hasNulls, &error)
                }
                offsetsInitialized = filled ? count + 1 : 0
            }
            initialized = filled ? Int(sizeBytes) : 0
        }
        if !filled { throw error.asLakeError(file: source.name, column: column) }
        return TextColumn(offsets: offsets, bytes: bytes, isValid: hasNulls ? isValid : nil)
    }

    func codedTexts(_ column: String) throws(LakeError) -> CodedTexts? {
        let place = place(of: column)
        var error = pq_error()
        var (count, sizeBytes): (Int64, Int64) = (-1, 0)
        var isDone = false
        let codes = [Int32](unsafeUninitializedCapacity: self.count) { codes, initialized in
            isDone = pq_batch_codes(pointer, place, codes.baseAddress, &count, &sizeBytes, &error)
            initialized = isDone && count >= 0 ? self.count : 0
        }
        guard isDone else { throw error.asLakeError(file: source.name, column: column) }
        guard count >= 0 else { return nil }
        var offsets: [Int64] = []
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(sizeBytes)) { bytes, initialized in
            offsets = [Int64](unsafeUninitializedCapacity: Int(count) + 1) { offsets, offsetsInitialized in
                isDone = pq_batch_code_texts(pointer, place, offsets.baseAddress, bytes.baseAddress, &error)
                offsetsInitialized = isDone ? Int(count) + 1 : 0
            }
            initialized = isDone ? Int(sizeBytes) : 0
        }
        guard isDone else { throw error.asLakeError(file: source.name, column: column) }
        return CodedTexts(codes: codes, texts: TextColumn(offsets: offsets, bytes: bytes, isValid: nil))
    }

    private func place(of column: String) -> Int32 {
        let place = pq_batch_column(pointer, column)
        precondition(place >= 0, "the scan was not asked for column \(column)")
        return place
    }
}
