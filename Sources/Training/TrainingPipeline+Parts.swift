import Crypto
import Exact
import Foundation
import Lake
import Models
import Outcomes

/// The parts of a job for all users: all by one worker, or shared by those of several processes.
extension TrainingPipeline {
    /// What the parts of a job are made of: the lake's files and labels, the detectors, the model that serves, and how they are
    /// judged. Workers that find the same make the same of a part.
    func basis(of request: TrainingRequest) throws -> String {
        var hash = SHA256()
        func add(_ files: [LakeFile]) {
            for file in files {
                hash.update(data: Array("\(file.key) \(file.sizeBytes) \(file.tag.text)\n".utf8))
            }
        }
        // Reference tables look back further than windows do.
        let before = max(settings.warmUpDays, ReferencePast.Settings().historyDays)
        add(try lake.files(in: request.from.adding(days: -before)...request.to))
        add(try labels.files(in: LabelFiles.allDays))
        for info in registry.detectors.map(\.info) {
            hash.update(data: Array("\(info.id) \(info.version)\n".utf8))
        }
        let global = try router.globalModel()?.version ?? 0
        let numbers = [
            UsersPart.currentDivision, global, settings.warmUpDays, settings.maximumUserRows,
            settings.minimumUserRows, settings.minimumNewRows, settings.referenceLagDays,
            settings.referenceHours,
        ].map(String.init)
        let rest = ["\(settings.holdoutShare)", "\(settings.earnedMargin)", settings.zone?.name ?? ""]
        return ((numbers + rest) + [Hex.text(hash.finalize())]).joined(separator: " ")
    }

    /// Makes parts of a job that another worker holds, until there are none left. Its journal has joined the job.
    ///
    /// - Returns: How many.
    /// - Throws: `TrainingError.cancelled` when the worker takes part no longer, and whatever ends training.
    func help(
        _ request: TrainingRequest, jobID: String, journal: any TrainingJournal,
        isCancelled: @escaping @Sendable () -> Bool
    ) throws -> Int {
        guard let sharing = journal.sharing else { return 0 }
        do {
            let run = Run(
                request: request, jobID: jobID, journal: journal,
                candidates: try request.candidates(registry),
                erased: try ErasedMeanwhile(store.objects, isResumed: journal.isResumed),
                isCancelled: isCancelled, report: { _, _ in })
            let history = try scan(run)
            return try trainShared(history, HistoryNames(history), sharing, run).parts
        } catch LakeError.cancelled {
            throw TrainingError.cancelled
        }
    }

    /// - Parameter parts: Those that are finished; after it all are.
    func trainParts(_ history: History, _ parts: inout [Int: UsersPart], _ run: Run) throws {
        let names = HistoryNames(history)
        if let sharing = run.journal.sharing {
            guard try trainShared(history, names, sharing, run).isLast else { throw TrainingError.cancelled }
            parts = try run.journal.finishedParts()
            guard parts.count == History.partCount else {
                throw TrainingError.damagedJob(
                    id: run.jobID, reason: "\(History.partCount - parts.count) finished parts are gone")
            }
            return
        }
        let open = (0..<History.partCount).filter { parts[$0] == nil }
        for start in stride(from: 0, to: open.count, by: settings.threads) {
            run.report(.fit, Double(start) / Double(open.count))
            let numbers = Array(open[start..<min(start + settings.threads, open.count)])
            parts.merge(try train(numbers, history, names, run)) { $1 }
        }
    }

    /// - Returns: How many parts were made here, and whether all are finished; false: this worker takes part no longer.
    private func trainShared(
        _ history: History, _ names: HistoryNames, _ sharing: any PartSharing, _ run: Run
    ) throws -> (parts: Int, isLast: Bool) {
        var made = 0
        while let turn = try sharing.take(settings.threads) {
            run.report(.fit, 1 - Double(min(turn.open, History.partCount)) / Double(History.partCount))
            if turn.open == 0 { return (made, true) }
            if turn.parts.isEmpty {
                // Others work on what is left; if they die it is handed out again.
                try run.checkCancellation()
                Thread.sleep(forTimeInterval: Self.partsPause)
                continue
            }
            _ = try train(turn.parts, history, names, run)
            made += turn.parts.count
        }
        return (made, false)
    }

    private static let partsPause = 0.2

    /// Some parts at a time, each on a thread of its own: writing a model mostly waits for the store.
    private func train(
        _ numbers: [Int], _ history: History, _ names: HistoryNames, _ run: Run
    ) throws -> [Int: UsersPart] {
        let results = try onThreads(numbers) { [self] number in
            let result = try trainPart(number, history, names, run)
            try run.checkCancellation()
            try run.journal.finish(number, result)
            return result
        }
        return Dictionary(zip(numbers, results)) { $1 }
    }
}
