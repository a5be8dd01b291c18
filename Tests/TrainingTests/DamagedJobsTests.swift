import Foundation
import GRDB
import Testing

@testable import Training

/// A record that cannot be read holds up neither the queue nor the start.
@Suite struct DamagedJobsTests {
    private static let columns = [
        "id", "sequence", "key", "request", "state", "stage", "progress", "outcome", "error", "attempts",
        "strikes", "worker", "lease", "available", "created", "started", "updated", "finished",
    ]

    private static let strangers: [DatabaseValue] = [
        .null, "text".databaseValue, Data([1, 2, 3]).databaseValue, 1.5.databaseValue,
        Double.infinity.databaseValue, Int64.max.databaseValue, Int64.min.databaseValue,
        "{\"from\":\"9999-99-99\"}".databaseValue,
    ]

    private func damage(_ path: String, _ column: String, _ value: DatabaseValue, id: String) throws {
        let loosening = try DatabaseQueue(path: path)
        try loosening.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA writable_schema = ON")
            try db.execute(sql: "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '')")
        }
        try loosening.close()
        let queue = try DatabaseQueue(path: path)
        try queue.write { db in
            try db.execute(sql: "UPDATE job SET \(column) = ? WHERE id = ?", arguments: [value, id])
        }
        try queue.close()
    }

    @Test(arguments: columns)
    func aCellMayHoldAnything(column: String) throws {
        for stranger in Self.strangers {
            let folder = FileManager.default.temporaryDirectory.appending(
                path: "ml-jobs-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let path = folder.appending(path: "jobs.sqlite").path
            let first = try SQLiteJobStore(path: path)
            let damaged = try first.submit(Workshop.request(days: 31), key: "k")
            let sound = try first.submit(Workshop.request(days: 30))
            try damage(path, column, stranger, id: damaged.id)
            // Noticed while it runs ...
            _ = try? first.job(id: damaged.id)
            _ = try first.jobs()
            try work(first, until: sound.id, "\(column) = \(stranger)")
            // ... and at a start.
            let second = try SQLiteJobStore(path: path)
            #expect(try second.job(id: sound.id)?.state == .succeeded)
            #expect(try second.jobs().contains { $0.id == sound.id })
            let next = try second.submit(Workshop.request(days: 29))
            try work(second, until: next.id, "\(column) = \(stranger)")
        }
    }

    /// Runs whatever waits until a job has been run.
    private func work(_ store: any JobStore, until id: String, _ what: String) throws {
        for _ in 0..<10 where try store.job(id: id)?.state == .queued {
            guard let claimed = try? store.claim(worker: "w") else { continue }
            _ = try store.parts(claimed)
            try store.finish(claimed, .success(TrainingOutcome(models: [], metrics: [:])))
        }
        #expect(try store.job(id: id)?.state == .succeeded, "\(what)")
    }
}
