import ObjectStore
import Synchronization
import Testing

@testable import Lake

@Suite struct ReadAheadTests {
    @Test func outcomesBelongToTheirRequests() throws {
        let readAhead = ReadAhead(threads: 3)
        let failure = ObjectStoreError.notFound(key: "7")
        let tickets = (0..<200).map { number in
            readAhead.start { () throws(ObjectStoreError) in
                if number == 7 { throw failure }
                return [UInt8(number)]
            }
        }
        for (number, ticket) in tickets.enumerated().reversed() {
            let expected: ReadAhead.Outcome = number == 7 ? .failure(failure) : .success([UInt8(number)])
            #expect(ticket.wait() == expected)
        }
        readAhead.stop()
    }

    @Test func nothingRunsAfterStop() {
        let running = Mutex(0)
        for _ in 0..<50 {
            let readAhead = ReadAhead(threads: 2)
            for _ in 0..<20 {
                _ = readAhead.start { () throws(ObjectStoreError) in
                    running.withLock { $0 += 1 }
                    running.withLock { $0 -= 1 }
                    return []
                }
            }
            readAhead.stop()
            #expect(running.withLock { $0 } == 0)
        }
    }

    /// The same rows, requests and bytes with and without reading ahead, for files of one request and of many.
    @Test(arguments: [0, 1, 8], [0, 1 << 20])
    func changesNothingButTheTime(requestsAhead: Int, wholeFileBytes: Int) throws {
        let store = MemoryStore()
        for day in 0..<20 {
            store["processed/\(june1.adding(days: day).path)/a.parquet"] =
                try SampleRows(users: 50, rowsPerUser: 4, seed: UInt64(day)).file(rowGroupRows: 40)
        }
        var settings = ReadSettings()
        settings.wholeFileBytes = wholeFileBytes
        settings.footerBytes = 100
        settings.gapBytes = 0
        settings.requestBytes = 1000
        func scan(ahead: Int) throws -> ([Double], ScanStatistics) {
            settings.requestsAhead = ahead
            var amounts: [Double] = []
            let statistics = try LakeReader(store: store, settings: settings).scan(
                days: june1...june1.adding(days: 19), columns: ["amount", "is_fraud", "transaction_id"]
            ) { amounts += try $0.reals("amount") }
            return (amounts, statistics)
        }
        let (amounts, statistics) = try scan(ahead: 0)
        let (ahead, statisticsAhead) = try scan(ahead: requestsAhead)
        #expect(ahead == amounts)
        #expect(statisticsAhead == statistics)
        #expect(amounts.count == 20 * 200)
    }
}
