import Foundation
import Lake
import Models
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// `lake.onbadfile`: a file that cannot be read ends the job or `etl` by name, or is left out, counted and named.
@Suite struct OnBadFileTests {
    private func damage(_ workshop: Workshop, day: LakeDay) throws {
        let key = "processed/\(day.path)/part-0.parquet"
        var bytes = try #require(try workshop.lake.get(key)).bytes
        for place in 4..<min(600, bytes.count / 2) { bytes[place] ^= 0x5A }
        try workshop.lake.put(key, bytes, if: .always)
    }

    @Test func trainingFailsByNameOrLeavesTheFileOutAndSaysSo() throws {
        var workshop = try Workshop()
        try workshop.generate(users: 10, days: 20)
        let bad = Workshop.start.adding(days: 7)
        try damage(workshop, day: bad)
        let request = Workshop.request(days: 20, detector: "amount")
        let error = #expect(throws: LakeError.self) { try workshop.run(request) }
        #expect("\(String(describing: error))".contains(bad.path))

        workshop.settings.badFiles = .skip
        let outcome = try workshop.run(request)
        #expect(outcome.reading?.skippedFiles == 1)
        #expect(outcome.reading?.files == 19)
        #expect(outcome.reading?.metrics["lake_files_skipped"] == 1)
        #expect(outcome.notes?.contains { $0.hasPrefix("left out: ") && $0.contains(bad.path) } == true)

        // The model is that of the lake without the file.
        let other = try Workshop()
        try other.generate(users: 10, days: 20)
        try other.lake.delete("processed/\(bad.path)/part-0.parquet")
        let without = try other.run(request)
        #expect(without.metrics == outcome.metrics)
        #expect(without.reading?.skippedFiles == 0)
    }

    /// Whoever judges a model by days has to know of those that were not read.
    @Test func backtestsAndFeaturesSayWhatOfTheDaysWasNotRead() throws {
        var workshop = try Workshop()
        try workshop.generate(users: 10, days: 20)
        _ = try workshop.run(Workshop.request(days: 10, detector: "amount", promote: true))
        let bad = Workshop.start.adding(days: 12)
        try damage(workshop, day: bad)
        workshop.settings.badFiles = .skip
        let (first, last) = (Workshop.start.adding(days: 10), Workshop.start.adding(days: 21))
        let output = workshop.folder.path + "/rows.parquet"
        let pipeline = workshop.pipeline
        let notes = try pipeline.writeFeatures(from: first, to: last, asOf: nil, file: output).notes
        #expect(notes.contains { $0.hasPrefix("left out: ") && $0.contains(bad.path) })
        #expect(notes.contains { $0.contains("2 of 12 days have no file") })
        let report = try pipeline.backtest(version: 1, from: first, to: last, asOf: nil)
        #expect(report.notes == notes)
        let comparison = try pipeline.compare(candidate: 1, active: 1, from: first, to: last, asOf: nil)
        #expect(comparison.candidate.notes == notes)
        let error = #expect(throws: TrainingError.self) {
            _ = try pipeline.backtest(version: 1, from: bad, to: bad, asOf: nil)
        }
        #expect("\(String(describing: error))".contains(bad.path))
    }

    @Test func aLabelFileFailsByNameOrIsLeftOutAsOthersAre() throws {
        /// Labels of two deliveries, of which the second one is damaged, or is not there.
        func workshop(second: Bool) throws -> Workshop {
            let workshop = try Workshop()
            let transactions = try workshop.generate(users: 10, days: 20)
            for (name, labelled) in [
                ("first", transactions.prefix(200)), ("second", transactions.suffix(200)),
            ] {
                let labels = labelled.map {
                    Label(
                        transactionID: $0.transaction.transactionID, isFraud: true,
                        knownMilliseconds: Workshop.start.adding(days: 21).startMilliseconds, source: "test")
                }
                if name == "first" || second {
                    try LabelFiles(lake: workshop.lake).write(labels, name: name, isReplacing: true)
                }
            }
            return workshop
        }
        var damaged = try workshop(second: true)
        let sound = try damaged.run(Workshop.request(days: 20, detector: "amount"), jobID: "sound")
        let key = "labels/\(Workshop.start.adding(days: 21).path)/second.parquet"
        var bytes = try #require(try damaged.lake.get(key)).bytes
        for place in 4..<min(600, bytes.count / 2) { bytes[place] ^= 0x5A }
        try damaged.lake.put(key, bytes, if: .always)
        let request = Workshop.request(days: 20, detector: "amount")
        let error = #expect(throws: LakeError.self) { try damaged.run(request) }
        #expect("\(String(describing: error))".contains("second.parquet"))

        damaged.settings.badFiles = .skip
        let outcome = try damaged.run(request)
        #expect(outcome.reading?.skippedFiles == 1)
        #expect(
            outcome.notes?.contains { $0.hasPrefix("left out: ") && $0.contains("second.parquet") } == true)
        // The model is that of the other labels; with those of the damaged file it is another.
        #expect(outcome.metrics == (try workshop(second: false).run(request).metrics))
        #expect(outcome.metrics["labelled_frauds"] != sound.metrics["labelled_frauds"])
        // All users' models are made of the same scan.
        let promoted = TrainingRequest(
            from: request.from, to: request.to, detectorID: "amount", promote: true, promotion: .auto)
        _ = try damaged.run(promoted, jobID: "global")
        let all = Workshop.request(allUsers: true, days: 20, detector: "amount")
        #expect(try damaged.run(all, jobID: "all").reading?.skippedFiles == 1)
    }

    @Test func aSoundLakeIsReadOnceWhateverIsSaid() throws {
        var workshop = try Workshop()
        try workshop.generate(users: 10, days: 20)
        let request = Workshop.request(days: 20, detector: "amount")
        let failing = try workshop.run(request, jobID: "a").reading
        workshop.settings.badFiles = .skip
        let skipping = try workshop.run(request, jobID: "b").reading
        #expect(failing == skipping)
        #expect(failing?.bytes ?? 0 > 0)
        #expect(failing?.files == 20)
    }

    // MARK: etl

    private static let line =
        #"{"transaction_id":"a","user_id":"u","amount":1,"timestamp":"2026-03-01T12:00:00Z"}"# + "\n"

    private func etl(
        _ folder: TemporaryFolder, _ badFiles: BadFiles
    ) throws -> ETL.Result {
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        limits.badFiles = badFiles
        return try ETL(raw: folder.store("in"), lake: folder.store("lake"), limits: limits).run { _, _ in }
    }

    @Test func etlFailsByNameOrLeavesTheFileOutAndSaysSo() throws {
        let folder = try TemporaryFolder()
        let (raw, lake) = (folder.store("in"), folder.store("lake"))
        try raw.put("raw/a.jsonl", Array(Self.line.utf8), if: .always)
        try raw.put("raw/b.jsonl.gz", Array(CompressedSourceTests.gzip.prefix(150)), if: .always)
        try raw.put("raw/c.xlsx", Array("PK".utf8), if: .always)
        try raw.put("raw/labels/d.csv.zst", Array("no zstd".utf8), if: .always)
        #expect(throws: TrainingError.self) { try etl(folder, .fail) }
        try raw.delete("raw/c.xlsx")
        #expect(throws: LakeError.self) { try etl(folder, .fail) }
        #expect(try lake.listAll(prefix: "processed/").isEmpty)

        try raw.put("raw/c.xlsx", Array("PK".utf8), if: .always)
        let result = try etl(folder, .skip)
        #expect(result.transactions == 1)
        #expect(result.skipped.count == 3)
        for name in ["b.jsonl.gz", "c.xlsx", "d.csv.zst"] {
            #expect(result.skipped.contains { $0.contains(name) }, "\(name)")
        }
        #expect(try lake.listAll(prefix: "processed/").count == 1)
    }

    @Test func whatASourceGaveBeforeItWasCutOffStays() throws {
        let folder = try TemporaryFolder()
        let (raw, lake) = (folder.store("in"), folder.store("lake"))
        try raw.put("raw/a.jsonl", Array(Self.line.utf8), if: .always)
        try raw.put("raw/b.jsonl.gz", Array(CompressedSourceTests.gzip), if: .always)
        #expect(try etl(folder, .skip).transactions == 13)
        let before = try lake.listAll(prefix: "processed/").map(\.key)
        try raw.put("raw/b.jsonl.gz", Array(CompressedSourceTests.gzip.prefix(150)), if: .always)
        let result = try etl(folder, .skip)
        #expect(result.kept.count == 2 && result.skipped.count == 1)
        #expect(try lake.listAll(prefix: "processed/").map(\.key) == before)
    }

    @Test func nothingButBadSourcesIsAnError() throws {
        let folder = try TemporaryFolder()
        try folder.store("in").put("raw/b.jsonl.gz", Array("no gzip".utf8), if: .always)
        let error = #expect(throws: TrainingError.self) { try etl(folder, .skip) }
        #expect("\(String(describing: error))".contains("b.jsonl.gz"))
    }

    /// Each day's file stays the very file that it was.
    @Test func aDayThatIsAppendedLeavesTheFilesOfOthersAlone() throws {
        let folder = try TemporaryFolder()
        let (raw, lake) = (folder.store("in"), folder.store("lake"))
        func put(day: Int) throws {
            let lines = (0..<50).map { row in
                #"{"transaction_id":"\#(day)-\#(row)","user_id":"u\#(row % 7)","amount":\#(row),"#
                    + #""timestamp":"2026-03-0\#(day)T12:00:00Z"}"# + "\n"
            }
            try raw.put("raw/day-\(day).jsonl", Array(lines.joined().utf8), if: .always)
        }
        for day in 1...3 { try put(day: day) }
        _ = try etl(folder, .fail)
        // A tag is made of the file's inode and time of change: who rewrites a file changes it, whatever the bytes.
        let before = try lake.listAll(prefix: "").map { "\($0.key) \($0.tag)" }
        try put(day: 4)
        let result = try etl(folder, .fail)
        #expect(result.transactions == 200)
        let after = try lake.listAll(prefix: "").map { "\($0.key) \($0.tag)" }
        #expect(after.count == before.count + 1)
        #expect(Set(before).isSubset(of: Set(after)))
        #expect(Set(after).subtracting(before).first?.contains("2026/03/04") == true)
    }
}
