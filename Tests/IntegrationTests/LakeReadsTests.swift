import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Training

/// What reading one user out of a lake on S3 asks of the server, as the server sees it.
@Suite struct LakeReadsTests {
    private static let first = LakeDay(dayNumber: 20_454)

    /// The file of a day, as `etl` writes it, of users with ten transactions each.
    private func file(rows: Int) throws -> [UInt8] {
        let day = Self.first
        var batch = TransactionBatch()
        for number in 0..<rows {
            let user = number / 10
            // As ids and amounts are: nothing that shrinks.
            let random = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
            let mixed = (random ^ (random >> 31)) &* 0x94D0_49BB_1331_11EB
            batch.append(
                Transaction(
                    transactionID: String(mixed, radix: 16),
                    userID: "user-\(1_000_000 + user)", amount: Double(mixed >> 44) / 100,
                    timestampMilliseconds: day.startMilliseconds + Int64(number % 10) * 8_000_000
                        + Int64(mixed % 8_000_000),
                    currency: "EUR",
                    merchantID: "merchant-\(mixed % 3_001)", category: "groceries",
                    country: "NL", channel: nil, deviceID: "device-\(user)", latitude: nil, longitude: nil))
        }
        return try TransactionColumns.parquetFile(batch, labels: [Int8](repeating: -1, count: rows))
    }

    private func store(_ endpoint: String?, _ prefix: String) throws -> any ObjectStore {
        let settings = try Stack.s3Settings
        return try makeObjectStore(
            uri: "s3://\(try Stack.variable("S3_BUCKET"))/\(prefix)",
            settings: S3Settings(
                endpoint: endpoint ?? settings["s3.endpoint"], region: settings["s3.region"] ?? "us-east-1",
                credentials: S3Credentials(
                    accessKey: settings["s3.accesskey"] ?? "", secretKey: settings["s3.secretkey"] ?? "")))
    }

    /// What the server saw of reading one user.
    private struct Seen {
        let statistics: ScanStatistics
        let counts: CountingProxy.Counts
    }

    /// Puts days of the same rows into a lake and reads one user out of all of them, through the proxy.
    private func read(
        _ users: [String], days: Int, rows: Int
    ) throws -> (seen: [Seen], lakeBytes: Int) {
        let prefix = "lake-reads-\(UUID().uuidString.lowercased())"
        let direct = try store(nil, prefix)
        let bytes = try file(rows: rows)
        let all = Self.first...Self.first.adding(days: days - 1)
        for day in all { try direct.put("processed/\(day.path)/part-0.parquet", bytes, if: .always) }
        defer { for day in all { try? direct.delete("processed/\(day.path)/part-0.parquet") } }
        let proxy = try CountingProxy(upstream: try Stack.variable("S3_ENDPOINT"))
        let behind = try store(proxy.endpoint, prefix)
        let seen = try users.map { user in
            // A reader of its own: nothing is in memory from before.
            let reader = LakeReader(store: behind)
            let files = try reader.files(in: all)
            #expect(files.count == days)
            _ = proxy.take()
            let statistics = try reader.scan(
                files: files, columns: TransactionColumns.required,
                optionalColumns: TransactionColumns.optional, userIDs: [user]
            ) { _ in }
            return Seen(statistics: statistics, counts: proxy.take())
        }
        return (seen, bytes.count * days)
    }

    @Test func oneUserIsReadByAFewRangesAndTheScanCountsThemTruly() throws {
        let (seen, lakeBytes) = try read(["user-1002345", "user-2"], days: 2, rows: 40_000)
        let (statistics, counts) = (seen[0].statistics, seen[0].counts)
        #expect(statistics.rows == 20)
        // What the scan says of itself is what the server saw; heads of answers are some hundred bytes each.
        #expect(counts.requests["GET"] == statistics.requests, "\(counts) \(statistics)")
        #expect(counts.answerBytes >= statistics.bytesFetched)
        #expect(counts.answerBytes <= statistics.bytesFetched + 2_048 * statistics.requests)
        // A footer and a row group of each file, of about twenty row groups.
        #expect(statistics.rowGroupsRead == 2)
        #expect(counts.answerBytes * 4 < lakeBytes, "\(counts.answerBytes) of \(lakeBytes)")
        #expect(statistics.requests <= 6)
        // Of a user who is not there the footers and filters say so.
        let nobody = seen[1]
        #expect(nobody.statistics.rowGroupsRead == 0 && nobody.statistics.rows == 0)
        #expect(nobody.counts.answerBytes <= counts.answerBytes)
    }

    /// Files of a million rows, the most that `etl` puts into one: a large lake is made of these.
    @Test func ofALargeLakeOneUserIsAFiftieth() throws {
        let (seen, lakeBytes) = try read(["user-1052345"], days: 3, rows: 1_000_000)
        let (statistics, counts) = (seen[0].statistics, seen[0].counts)
        #expect(statistics.rows == 30)
        #expect(statistics.rowGroupsRead == 3)
        print("one user: \(counts.answerBytes) of \(lakeBytes) bytes, \(counts.requests) for 3 files")
        #expect(counts.answerBytes * 50 <= lakeBytes, "\(counts.answerBytes) of \(lakeBytes)")
        #expect(statistics.requests <= 12)
    }
}
