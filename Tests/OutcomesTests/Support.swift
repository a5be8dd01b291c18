import Features
import Foundation
import Lake
import ObjectStore
import Transactions

@testable import Outcomes

/// A folder of its own, removed with this object.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "outcomes-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func store(_ name: String) -> DirectoryObjectStore { DirectoryObjectStore(root: path + "/" + name) }
}

/// SplitMix64: the seed is in the test.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

let firstDay = LakeDay(dayNumber: 20_454)  // 2026-01-01
let hour: Int64 = 3_600_000

/// A small world: transactions with frauds, and labels that come late.
struct World {
    let folder: TemporaryFolder
    let lake: DirectoryObjectStore
    let tables: DirectoryObjectStore
    var transactions: [Transaction] = []
    var labels: [Label] = []

    init(seed: UInt64, days: Int, perDay: Int = 40, delayDays: ClosedRange<Double> = 1...3) throws {
        folder = try TemporaryFolder()
        lake = folder.store("lake")
        tables = folder.store("tables")
        var random = TestRandom(seed: seed)
        for day in 0..<days {
            for number in 0..<perDay {
                let time = firstDay.adding(days: day).startMilliseconds + Int64(random.below(86_400_000))
                let isFraud = random.below(12) == 0
                let transaction = Transaction(
                    transactionID: "t\(day)-\(number)", userID: "u\(random.below(9))",
                    amount: Double(random.below(20_000)) / 100, timestampMilliseconds: time,
                    merchantID: random.below(10) == 0 ? nil : "m\(random.below(6))",
                    category: "c\(random.below(3))", country: ["DE", "FR"][random.below(2)],
                    deviceID: random.below(3) == 0 ? nil : "d\(random.below(20))")
                transactions.append(transaction)
                let delay =
                    delayDays.lowerBound + (delayDays.upperBound - delayDays.lowerBound) * random.unit()
                if isFraud || random.below(4) == 0 {
                    labels.append(
                        Label(
                            transactionID: transaction.transactionID, isFraud: isFraud,
                            knownMilliseconds: time + Int64(delay * 86_400_000), source: "test"))
                }
                // Some are taken back.
                if isFraud, random.below(4) == 0 {
                    labels.append(
                        Label(
                            transactionID: transaction.transactionID, isFraud: false,
                            knownMilliseconds: time + Int64((delay + 1.3) * 86_400_000), source: "test"))
                }
            }
        }
    }

    func writeTransactions() throws {
        let byDay = Dictionary(grouping: transactions) {
            LakeDay(epochMilliseconds: $0.timestampMilliseconds)
        }
        for (day, ofDay) in byDay { try write(ofDay, to: day, name: "part-0") }
    }

    func write(_ rows: [Transaction], to day: LakeDay, name: String) throws {
        let texts: [(String, (Transaction) -> String?)] = [
            ("merchant_id", { $0.merchantID }), ("category", { $0.category }), ("country", { $0.country }),
            ("device_id", { $0.deviceID }),
        ]
        let writer = try ParquetWriter(
            columns: [
                ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text),
                ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
            ] + texts.map { ParquetColumn($0.0, .text, isNullable: true) })
        try writer.append(
            [
                .text(TextColumn(rows.map(\.transactionID))), .text(TextColumn(rows.map(\.userID))),
                .real(rows.map(\.amount)), .timestampMilliseconds(rows.map(\.timestampMilliseconds)),
            ] + texts.map { text in .text(TextColumn(rows.map { text.1($0) })) })
        try lake.put("processed/\(day.path)/\(name).parquet", try writer.finish(), if: .always)
    }

    func writeLabels() throws { try LabelFiles(lake: lake).write(labels, name: "all") }

    func refresh(_ settings: ReferenceRefresh.Settings = World.settings) -> ReferenceRefresh {
        ReferenceRefresh(lake: lake, store: ReferenceStore(objects: tables), settings: settings)
    }

    static var settings: ReferenceRefresh.Settings {
        var settings = ReferenceRefresh.Settings()
        settings.lagDays = 2
        return settings
    }

    /// The table of a moment, by whatever refresh gives it.
    func table(at boundary: Int64, isFull: Bool = false) throws -> ReadyReferences {
        let summary = try refresh().run(asOf: boundary * hour, isFull: isFull)
        return try ReferenceStore(objects: tables).load(summary.version)
    }
}

extension Transaction {
    var keys: ReferenceKeys {
        func hash(_ text: String?) -> UInt64 { text.map { TextHash.hash($0) } ?? 0 }
        return ReferenceKeys(
            merchant: hash(merchantID), device: hash(deviceID), country: hash(country),
            category: hash(category),
            user: hash(userID))
    }

    var row: ReferenceRow {
        ReferenceRow(
            transaction: TextHash.hash(transactionID), milliseconds: timestampMilliseconds, amount: amount,
            keys: keys)
    }
}

extension ReferenceEntries {
    /// The bits of the reference features of an amount.
    func bits(_ amount: Double) -> [UInt32] {
        var features = [Float](repeating: -1, count: UserWindow.featureCount)
        features[UserWindow.logAmountPlace] = Float(LogAmount.of(amount))
        features.withUnsafeMutableBufferPointer { writeFeatures(into: $0) }
        return UserWindow.referencePlaces.map { features[$0].bitPattern }
    }
}
