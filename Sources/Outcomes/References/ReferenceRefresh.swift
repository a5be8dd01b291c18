import Exact
import Features
import Lake
import Logging
import ObjectStore

/// Builds a table of a moment from the lake, and makes it serve.
///
/// Goes on from the latest day that it has a state of (`ReferenceFiles`), so a day's refresh reads that day's
/// transactions, the labels that have come since, and the keys of the transactions that these are of.
public struct ReferenceRefresh: Sendable {
    public struct Settings: Sendable {
        /// Days after which a transaction is counted: about how late its label comes. 0 to 90.
        public var lagDays = 7
        /// A label finds its transaction this many days back.
        public var reachDays = 180
        /// Of times that do not say theirs.
        public var zone: PlaceZone?
        /// Without a state it begins so many days before the moment.
        public var historyDays = 400
        /// What becomes of a refresh when a file of transactions or labels cannot be read. A file of transactions that was left
        /// out is not looked at again when it has been mended, but by a full refresh; one of labels is.
        public var badFiles = BadFiles.fail

        public init() {}
    }

    public struct Summary: Sendable, Hashable, Codable {
        public var version: Int
        public var sha256: String
        public var asOfMilliseconds: Int64
        /// Merchants, devices, countries, categories, and users with frauds.
        public var entries: Int
        public var frauds: Int
        /// Labels whose transaction has not come.
        public var waiting: Int
        /// Days of transactions that were read.
        public var days: Int
        /// Files that could not be read and were left out, with the reasons, as far as they are kept.
        public var skipped: [String]
    }

    private let lake: any ObjectStore
    private let store: ReferenceStore
    private let settings: Settings
    private let files: ReferenceFiles

    public init(lake: any ObjectStore, store: ReferenceStore, settings: Settings = Settings()) {
        self.lake = lake
        self.store = store
        self.settings = settings
        files = ReferenceFiles(lake: lake)
    }

    /// - Parameters:
    ///   - asOf: The moment, rounded down to the hour. Milliseconds since 1970 UTC.
    ///   - isFull: Begin anew, not at a state: after the lake's past has changed.
    /// - Throws: `ReferenceError`; `LakeError` for damaged files; the stores' own errors.
    public func run(
        asOf: Int64, isFull: Bool = false, isCancelled: () -> Bool = { false },
        progress: (Double) -> Void = { _ in }
    ) throws -> Summary {
        guard (0...90).contains(settings.lagDays) else {
            throw ReferenceError.invalid(field: "lag", reason: "it must be from 0 to 90 days")
        }
        let boundary = ReferenceTime.step(of: asOf)
        let moment = ReferenceTime.milliseconds(of: boundary)
        let lastDay = LakeDay(epochMilliseconds: moment)
        var work = try Work(self, until: boundary, lastDay: lastDay, isFull: isFull, isCancelled: isCancelled)
        let first = work.day
        while work.day < lastDay {
            try work.processDay(until: work.day.adding(days: 1).firstStep, isWhole: true, isCancelled)
            progress(Double(first.distance(to: work.day)) / Double(first.distance(to: lastDay) + 1))
        }
        if first < lastDay { try files.write(work.checkpoint()) }
        if lastDay.firstStep < boundary { try work.processDay(until: boundary, isWhole: false, isCancelled) }
        let ready = try store.publish(work.timeline.table())
        progress(1)
        return Summary(
            version: ready.version, sha256: ready.sha256, asOfMilliseconds: moment,
            entries: ready.table.count, frauds: Int(ready.table.fraudCount), waiting: work.waiting.count,
            days: work.daysRead, skipped: work.skipped)
    }

    /// A refresh under way.
    private struct Work {
        let refresh: ReferenceRefresh
        var timeline: ReferenceTimeline
        /// The day whose start the timeline is at.
        var day: LakeDay
        var waiting: [UInt64: ReferenceFiles.WaitingLabel] = [:]
        var seen: Set<UInt64> = []
        var daysRead = 0
        var skipped: [String] = []
        /// The first day that has keys.
        private let firstDay: LakeDay
        private let labels: LabelFiles
        private let reader: LakeReader
        private let transactionFiles: [LakeDay: [LakeFile]]
        private let labelFiles: [LakeFile]

        init(
            _ refresh: ReferenceRefresh, until boundary: Int64, lastDay: LakeDay, isFull: Bool,
            isCancelled: () -> Bool
        ) throws {
            self.refresh = refresh
            let badFiles = refresh.settings.badFiles
            labels = LabelFiles(lake: refresh.lake, badFiles: badFiles)
            reader = LakeReader(store: refresh.lake, zone: refresh.settings.zone).onBadFile(badFiles)
            labelFiles = try labels.files(in: LabelFiles.allDays.lowerBound...lastDay)
            let lagDays = refresh.settings.lagDays
            let earliest = lastDay.adding(days: -refresh.settings.historyDays)
            if !isFull, let found = try refresh.files.checkpoint(notAfter: lastDay, lagDays: lagDays) {
                timeline = ReferenceTimeline(state: found.state, step: found.day.firstStep, lagDays: lagDays)
                day = found.day
                waiting = found.waiting
                seen = found.seen
            } else {
                guard let first = try reader.files(in: earliest...lastDay).first?.day else {
                    throw ReferenceError.noData(
                        "the lake \(refresh.lake.location) has no transactions from \(earliest) to \(lastDay)"
                    )
                }
                day = first
                timeline = ReferenceTimeline(step: first.firstStep, lagDays: lagDays)
            }
            transactionFiles = Dictionary(
                grouping: try reader.files(in: min(day, lastDay)...lastDay), by: \.day)
            firstDay = max(earliest, day.adding(days: -refresh.settings.reachDays))
            // Transactions before the state that are counted within this refresh.
            for past in day.adding(days: -lagDays)..<day where past.adding(days: lagDays) <= lastDay {
                for row in try refresh.files.rows(of: past) { timeline.addCount(row, day: past.firstStep) }
            }
        }

        func checkpoint() -> ReferenceFiles.Checkpoint {
            ReferenceFiles.Checkpoint(
                day: day, lagDays: refresh.settings.lagDays, state: timeline.state, waiting: waiting,
                seen: seen)
        }

        /// - Parameter isWhole: The day is over: what was read of it is not read again.
        mutating func processDay(until boundary: Int64, isWhole: Bool, _ isCancelled: () -> Bool) throws {
            if isCancelled() { throw ReferenceError.cancelled }
            var fresh = try readLabels(until: boundary, isWhole: isWhole, isCancelled)
            let start = day.firstStep
            var rows: [ReferenceRow] = []
            let files = transactionFiles[day] ?? []
            let reading = try ReferenceRowReader(reader: reader).read(files, isCancelled: isCancelled) {
                row, own in
                guard ReferenceTime.step(of: row.milliseconds) < boundary else { return }
                rows.append(row)
                timeline.add(row, day: start)
                if let own { timeline.add(label: own, knownAt: row.milliseconds, of: row, day: start) }
                for label in fresh.removeValue(forKey: row.transaction) ?? [] {
                    timeline.add(label: label.isFraud, knownAt: label.knownAt, of: row, day: start)
                }
            }
            note(reading)
            try resolve(&fresh)
            // What is left is of transactions that have not come. Of several labels the last one waits.
            waiting = fresh.compactMapValues { labels in
                labels.max { Label.precedes(($0.knownAt, $0.isFraud), ($1.knownAt, $1.isFraud)) }
            }
            let oldest =
                ReferenceTime.milliseconds(of: start) - Int64(refresh.settings.reachDays) * 86_400_000
            waiting = waiting.filter { $0.value.knownAt > oldest }
            if isWhole, !rows.isEmpty { try refresh.files.write(rows, of: day) }
            timeline.advance(to: boundary)
            if !files.isEmpty { daysRead += 1 }
            if isWhole { day = day.adding(days: 1) }
        }

        private mutating func note(_ reading: ScanStatistics) {
            // A file of labels is met on every day until it can be read.
            for reason in reading.skipReasons
            where skipped.count < ScanStatistics.maximumReasons && !skipped.contains(reason) {
                skipped.append(reason)
            }
        }

        /// The labels that came since, those that wait among them. What is known of genuine transactions matters only
        /// where it takes a fraud back.
        private mutating func readLabels(
            until boundary: Int64, isWhole: Bool, _ isCancelled: () -> Bool
        ) throws -> [UInt64: [ReferenceFiles.WaitingLabel]] {
            var fresh = waiting.mapValues { [$0] }
            let end = ReferenceTime.milliseconds(of: boundary)
            let files = labelFiles.filter { $0.day <= day && !seen.contains(ReferenceFiles.hash($0)) }
            var genuine: [UInt64: [ReferenceFiles.WaitingLabel]] = [:]
            func take(_ row: LabelFiles.Row) {
                guard row.knownAt < end else { return }
                let label = ReferenceFiles.WaitingLabel(knownAt: row.knownAt, isFraud: row.isFraud)
                if row.isFraud {
                    fresh[row.transaction, default: []].append(label)
                } else {
                    genuine[row.transaction, default: []].append(label)
                }
            }
            var read = files
            if refresh.settings.badFiles == .skip {
                // One by one, to know which: one that was left out is tried again the next time.
                read = []
                for file in files {
                    let reading = try labels.read([file], isCancelled: isCancelled, take)
                    if reading.skippedFiles == 0 { read.append(file) }
                    note(reading)
                }
            } else {
                try labels.read(files, isCancelled: isCancelled, take)
            }
            for (transaction, labels) in genuine
            where fresh[transaction] != nil || timeline.state.frauds[transaction] != nil {
                fresh[transaction, default: []].append(contentsOf: labels)
            }
            if isWhole { seen.formUnion(read.map(ReferenceFiles.hash)) }
            return fresh
        }

        /// Finds the transactions of labels among those of earlier days, the latest days first.
        private mutating func resolve(_ fresh: inout [UInt64: [ReferenceFiles.WaitingLabel]]) throws {
            // What waited has been looked for before.
            var open = Set(fresh.keys).subtracting(waiting.keys)
            for (transaction, fraud) in timeline.state.frauds where open.contains(transaction) {
                // Only its taking back is news, which needs no keys.
                let row = ReferenceRow(
                    transaction: transaction, milliseconds: ReferenceTime.milliseconds(of: fraud.step),
                    amount: 0,
                    keys: fraud.keys)
                for label in fresh.removeValue(forKey: transaction) ?? [] {
                    timeline.add(label: label.isFraud, knownAt: label.knownAt, of: row, day: 0)
                }
                open.remove(transaction)
            }
            var past = day.adding(days: -1)
            while !open.isEmpty, past >= firstDay {
                for row in try refresh.files.rows(of: past) where open.contains(row.transaction) {
                    for label in fresh.removeValue(forKey: row.transaction) ?? [] {
                        timeline.add(
                            label: label.isFraud, knownAt: label.knownAt, of: row, day: past.firstStep)
                    }
                    open.remove(row.transaction)
                }
                past = past.adding(days: -1)
            }
        }
    }
}
