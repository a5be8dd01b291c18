import Foundation
import ObjectStore
import Synchronization
import Testing

@testable import Lake

/// Objects in memory.
final class MemoryStore: ObjectStore {
    private struct State {
        var objects: [String: [UInt8]] = [:]
        var failing: ObjectStoreError?
        var version = 0
    }

    private let state = Mutex(State())
    let location = "memory:"

    /// Makes every ranged read fail.
    func fail(_ error: ObjectStoreError?) { state.withLock { $0.failing = error } }

    subscript(key: String) -> [UInt8]? {
        get { state.withLock { $0.objects[key] } }
        set {
            state.withLock {
                $0.objects[key] = newValue
                $0.version += 1
            }
        }
    }

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? {
        self[key].map { StoredObject(bytes: $0, tag: VersionTag("1")) }
    }

    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        let (bytes, failing) = state.withLock { ($0.objects[key], $0.failing) }
        if let failing { throw failing }
        guard let bytes else { throw .notFound(key: key) }
        guard range.upperBound <= bytes.count else { throw .failed(location: location, reason: "range") }
        return Array(bytes[range])
    }

    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? {
        self[key].map { summary(key, $0) }
    }

    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        self[key] = bytes
        return VersionTag(String(bytes.hashValue))
    }

    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        let objects = state.withLock { $0.objects }
        let keys = objects.keys.filter { $0.hasPrefix(prefix) && $0 > after ?? "" }.sorted()
        return keys.prefix(limit).compactMap { key in objects[key].map { summary(key, $0) } }
    }

    func delete(_ key: String) throws(ObjectStoreError) { self[key] = nil }

    private func summary(_ key: String, _ bytes: [UInt8]) -> ObjectSummary {
        ObjectSummary(key: key, sizeBytes: bytes.count, tag: VersionTag(String(bytes.hashValue)))
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Transactions as the lake keeps them: sorted by user, then time.
struct SampleRows {
    static let columns = [
        ParquetColumn("transaction_id", .text),
        ParquetColumn("user_id", .text, isSearched: true),
        ParquetColumn("amount", .real),
        ParquetColumn("timestamp", .timestampMilliseconds),
        ParquetColumn("merchant_id", .text, isNullable: true),
        ParquetColumn("latitude", .real, isNullable: true),
        ParquetColumn("points", .integer, isNullable: true),
        ParquetColumn("is_fraud", .boolean, isNullable: true),
    ]

    var transactions: [String] = []
    var users: [String] = []
    var amounts: [Double] = []
    var times: [Int64] = []
    var merchants: [String?] = []
    var latitudes: [Double] = []
    var points: [Int64?] = []
    var frauds: [Bool?] = []

    init(users userCount: Int, rowsPerUser: Int, seed: UInt64, step: Int = 1) {
        var random = SeededGenerator(seed: seed)
        for user in 0..<userCount {
            for row in 0..<rowsPerUser {
                transactions.append("t\(user)-\(row)")
                users.append(Self.user(user * step))
                amounts.append(Double.random(in: -10...1000, using: &random))
                times.append(
                    1_527_811_200_000 + Int64(row) * 1000 + Int64.random(in: 0..<1000, using: &random))
                merchants.append(Bool.random(using: &random) ? "Händler \(row % 7)" : nil)
                latitudes.append(row % 3 == 0 ? .nan : Double.random(in: -90...90, using: &random))
                points.append(row % 4 == 0 ? nil : Int64.random(in: .min ... .max, using: &random))
                frauds.append(row % 5 == 0 ? nil : Bool.random(using: &random))
            }
        }
    }

    static func user(_ number: Int) -> String { "user-" + String(100_000 + number) }

    var values: [ColumnValues] {
        [
            .text(TextColumn(transactions)), .text(TextColumn(users)), .real(amounts),
            .timestampMilliseconds(times), .text(TextColumn(merchants)), .real(latitudes),
            .integer(NullableColumn(points, nullAs: 0)), .boolean(NullableColumn(frauds, nullAs: false)),
        ]
    }

    func file(rowGroupRows: Int = 65_536) throws -> [UInt8] {
        let writer = try ParquetWriter(columns: Self.columns, rowGroupRows: rowGroupRows)
        try writer.append(values)
        return try writer.finish()
    }
}

func fixture(_ name: String) throws -> [UInt8] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
        "Fixtures")
    return try [UInt8](Data(contentsOf: folder.appendingPathComponent(name)))
}

/// A lake of one file, on 1 June 2018.
func lake(of bytes: [UInt8], settings: ReadSettings = ReadSettings()) -> (LakeReader, MemoryStore) {
    let store = MemoryStore()
    store["processed/2018/06/01/part-0.parquet"] = bytes
    return (LakeReader(store: store, settings: settings), store)
}

let june1 = LakeDay(dayNumber: 17_683)
let oneDay = june1...june1
