import Foundation
import GRDB
import ObjectStore
import Testing
import Torture

@testable import Training

/// Files and records that may hold anything. `scripts/torture` gives these more time.
@Suite struct TortureTests {
    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ml-torture-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Whatever the records hold, a job that is submitted afterwards is run.
    @Test func tortureJobs() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "jobs.sqlite").path
        do {
            let store = try SQLiteJobStore(path: path)
            for days in 28...31 { try store.submit(Workshop.request(days: days), key: "\(days)") }
        }
        let sound = try Data(contentsOf: URL(filePath: path))
        let columns = [
            "request", "state", "stage", "progress", "outcome", "attempts", "strikes", "lease", "created",
        ]
        try Torture("jobs.sqlite").run(rounds: 20) { random in
            try sound.write(to: URL(filePath: path))
            let queue = try DatabaseQueue(path: path)
            try queue.write { db in
                for _ in 0...random.below(3) {
                    let column = Mutation.pick(columns, &random)
                    let text = try String.fetchOne(
                        db, sql: "SELECT \(column) FROM job ORDER BY random() LIMIT 1")
                    let bytes = Mutation.apply(to: Array((text ?? "1").utf8), &random)
                    try db.execute(
                        sql: "UPDATE job SET \(column) = ? WHERE sequence = ?",
                        arguments: [String(decoding: bytes, as: UTF8.self), 1 + random.below(4)])
                }
            }
            try queue.close()
            let store = try SQLiteJobStore(path: path)
            let id = try store.submit(Workshop.request(days: 20)).id
            for _ in 0..<20 where try store.job(id: id)?.state == .queued {
                guard let claimed = try? store.claim(worker: "w") else { continue }
                try store.finish(claimed, .success(TrainingOutcome(models: [], metrics: [:])))
            }
            guard try store.job(id: id)?.state == .succeeded else {
                throw Torture.Failure("a sound job was held up")
            }
            return store.setAside.isEmpty ? .accepted : .refused
        }
    }

    /// Whatever lies in the raw folder, etl ends: with days in the lake, or with a reason.
    @Test func tortureRawFiles() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let rows = (0..<20).map { row in
            (
                id: "t\(row)", user: "u\(row % 3)", amount: "\(row).5",
                time: "2026-01-0\(1 + row % 9)T12:00:00Z"
            )
        }
        let csv =
            "transaction_id,user_id,amount,timestamp\n"
            + rows.map { "\($0.id),\($0.user),\($0.amount),\($0.time)\n" }.joined()
        let json = rows.map {
            "{\"transaction_id\":\"\($0.id)\",\"user_id\":\"\($0.user)\",\"amount\":\($0.amount),\"timestamp\":\"\($0.time)\"}\n"
        }.joined()
        try Torture("raw files").run(rounds: 15) { random in
            let place = folder.appending(path: "\(random.next())")
            defer { try? FileManager.default.removeItem(at: place) }
            let (name, text) = Mutation.pick([("a.csv", csv), ("a.jsonl", json)], &random)
            let raw = DirectoryObjectStore(root: place.appending(path: "raw").path)
            try raw.put("raw/\(name)", Mutation.apply(to: Array(text.utf8), &random), if: .always)
            let lake = DirectoryObjectStore(root: place.appending(path: "lake").path)
            do {
                _ = try ETL(raw: raw, lake: lake).run { _, _ in }
                return .accepted
            } catch {
                return .refused
            }
        }
    }
}
