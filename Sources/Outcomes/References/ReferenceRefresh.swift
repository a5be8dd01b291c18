import Exact
import Features
import Lake
import Logging
import ObjectStore

/// Builds a table of a moment from the lake, and makes it serve.
///
/// Goes on from the latest state (`ReferenceFiles`) whose files are still those of the lake, so a day's refresh reads
/// that day's transactions, the labels that became known in it, and the keys of the transactions that these are of. What
/// comes late, or is changed, has it begin at a state before: the table is always that of a refresh from nothing.
public struct ReferenceRefresh: Sendable {
    public struct Settings: Sendable {
        /// Days after which a transaction is counted: about how late its label comes. 0 to 90.
        public var lagDays = 7
        /// A label finds its transaction this many days back.
        public var reachDays = 180
        /// Of times that do not say theirs.
        public var zone: PlaceZone?
        /// What becomes of a refresh when a file of transactions or labels cannot be read.
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
        /// Rows that are no transactions, of the days that were read: a line for each kind of fault.
        public var passedOver: [String]
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
    ///   - isFull: Begin at the lake's first day, not at a state.
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
        var work = try Work(self, lastDay: lastDay, isFull: isFull, isCancelled: isCancelled)
        let first = work.day
        while work.day < lastDay {
            try work.processDay(until: work.day.adding(days: 1).firstStep, isWhole: true, isCancelled)
            if ReferenceFiles.isKept(work.day, newest: lastDay) { try files.write(work.checkpoint()) }
            progress(Double(first.distance(to: work.day)) / Double(first.distance(to: lastDay) + 1))
        }
        if first < lastDay { try files.removeOldStates(newest: lastDay) }
        if lastDay.firstStep < boundary { try work.processDay(until: boundary, isWhole: false, isCancelled) }
        let ready = try store.publish(work.timeline.table())
        progress(1)
        return Summary(
            version: ready.version, sha256: ready.sha256, asOfMilliseconds: moment,
            entries: ready.table.count, frauds: Int(ready.table.fraudCount), waiting: work.waiting.count,
            days: work.daysRead, skipped: work.skipped, passedOver: work.passedOver.notes)
    }

    /// A refresh under way.
    private struct Work {
        let refresh: ReferenceRefresh
        var timeline: ReferenceTimeline
        /// The day whose start the timeline is at.
        var day: LakeDay
        var waiting: [UInt64: ReferenceFiles.WaitingLabel] = [:]
        var daysRead = 0
        var skipped: [String] = []
        var passedOver = PassedOverRows()
        private let labels: LabelFiles
        private let reader: LakeReader
        private let transactionFiles: [LakeDay: [LakeFile]]
        private let inputs: ReferenceInputs
        /// Of days that have not been processed, ascending.
        private var labelFiles: ArraySlice<LakeFile>

        init(
            _ refresh: ReferenceRefresh, lastDay: LakeDay, isFull: Bool, isCancelled: () -> Bool
        ) throws {
            self.refresh = refresh
            let settings = refresh.settings
            labels = LabelFiles(lake: refresh.lake, badFiles: settings.badFiles)
            reader = LakeReader(store: refresh.lake, zone: settings.zone).onBadFile(settings.badFiles)
            let days = LabelFiles.allDays.lowerBound...lastDay
            let listed = try labels.files(in: days)
            let transactionFiles = Dictionary(grouping: try reader.files(in: days), by: \.day)
            guard let first = transactionFiles.keys.min() else {
                throw ReferenceError.noData(
                    "the lake \(refresh.lake.location) has no transactions up to \(lastDay)")
            }
            let inputs = ReferenceInputs(
                transactions: transactionFiles, labels: Dictionary(grouping: listed, by: \.day),
                zone: settings.zone)
            self.transactionFiles = transactionFiles
            self.inputs = inputs
            let found =
                try isFull
                ? nil
                : refresh.files.checkpoint(notAfter: lastDay) { found in
                    // One without a bad file is of no use to who wants to be told of it.
                    found.lagDays == settings.lagDays && found.inputs.areThose(of: inputs, before: found.day)
                        && (found.skipped.isEmpty || settings.badFiles == .skip)
                }
            guard let found else {
                day = first
                timeline = ReferenceTimeline(step: first.firstStep, lagDays: settings.lagDays)
                labelFiles = listed[...]
                return
            }
            day = found.day
            timeline = ReferenceTimeline(
                state: found.state, step: found.day.firstStep, lagDays: settings.lagDays)
            labelFiles = listed.drop { $0.day < found.day }
            waiting = found.waiting
            skipped = found.skipped
            // Transactions before the state that are counted within this refresh.
            for past in day.adding(days: -settings.lagDays)..<day
            where past.adding(days: settings.lagDays) <= lastDay {
                for row in try keptRows(of: past, isCancelled) {
                    timeline.addCount(row, day: past.firstStep)
                }
            }
        }

        func checkpoint() -> ReferenceFiles.Checkpoint {
            ReferenceFiles.Checkpoint(
                day: day, lagDays: refresh.settings.lagDays, inputs: inputs.before(day), skipped: skipped,
                state: timeline.state, waiting: waiting)
        }

        /// - Parameter isWhole: The day is over: what was read of it is not read again.
        mutating func processDay(until boundary: Int64, isWhole: Bool, _ isCancelled: () -> Bool) throws {
            if isCancelled() { throw ReferenceError.cancelled }
            var (fresh, genuine) = try readLabels(until: boundary, isCancelled)
            let start = day.firstStep
            let rows = try readRows(of: day, until: boundary, isCancelled)
            for (row, own) in rows {
                timeline.add(row, day: start)
                if let own { timeline.add(label: own, knownAt: row.milliseconds, of: row, day: start) }
                take(fresh.removeValue(forKey: row.transaction), of: row, day: start)
                if own == true { take(genuine.removeValue(forKey: row.transaction), of: row, day: start) }
            }
            try resolve(&fresh, isCancelled)
            // What is left is of transactions that have not come. Of several labels the last one waits.
            waiting = fresh.compactMapValues { labels in
                labels.max { Label.precedes(($0.knownAt, $0.isFraud), ($1.knownAt, $1.isFraud)) }
            }
            let oldest =
                ReferenceTime.milliseconds(of: start) - Int64(refresh.settings.reachDays) * 86_400_000
            waiting = waiting.filter { $0.value.knownAt > oldest }
            timeline.advance(to: boundary)
            guard isWhole else { return }
            try keep(rows.map(\.row), of: day)
            day = day.adding(days: 1)
        }

        private mutating func take(
            _ labels: [ReferenceFiles.WaitingLabel]?, of row: ReferenceRow, day: Int64
        ) {
            for label in labels ?? [] {
                timeline.add(label: label.isFraud, knownAt: label.knownAt, of: row, day: day)
            }
        }

        private mutating func note(_ reading: ScanStatistics) {
            for reason in reading.skipReasons
            where skipped.count < ScanStatistics.maximumReasons && !skipped.contains(reason) {
                skipped.append(reason)
            }
        }

        // MARK: Transactions

        /// Reads a day's rows of the hours before a boundary, each with the label that came with it.
        private mutating func readRows(
            of day: LakeDay, until boundary: Int64, _ isCancelled: () -> Bool
        ) throws -> [(row: ReferenceRow, own: Bool?)] {
            guard let files = transactionFiles[day] else { return [] }
            var rows: [(row: ReferenceRow, own: Bool?)] = []
            let result = try ReferenceRowReader(reader: reader).read(files, isCancelled: isCancelled) {
                if ReferenceTime.step(of: $0.milliseconds) < boundary { rows.append(($0, $1)) }
            }
            note(result.reading)
            passedOver.add(result.passedOver)
            daysRead += 1
            return rows
        }

        /// The rows of a day that is over, ascending by transaction: as they were kept, or else from the lake.
        private mutating func keptRows(
            of past: LakeDay, _ isCancelled: () -> Bool
        ) throws -> [ReferenceRow] {
            guard let hash = inputs.transactions[past] else { return [] }
            if let rows = try refresh.files.rows(of: past, from: hash) { return rows }
            let end = past.adding(days: 1).firstStep
            return try keep(try readRows(of: past, until: end, isCancelled).map(\.row), of: past)
        }

        @discardableResult
        private func keep(_ rows: [ReferenceRow], of day: LakeDay) throws -> [ReferenceRow] {
            guard let hash = inputs.transactions[day] else { return [] }
            let sorted = rows.sorted { $0.transaction < $1.transaction }
            try refresh.files.write(sorted, of: day, from: hash)
            return sorted
        }

        // MARK: Labels

        private typealias LabelsOfDay = [UInt64: [ReferenceFiles.WaitingLabel]]

        /// The labels that became known on this day, those that wait among them.
        ///
        /// - Returns: Those that count, and those of genuine transactions that no label has called frauds, which matter
        ///   only where they take back what came with a transaction.
        private mutating func readLabels(
            until boundary: Int64, _ isCancelled: () -> Bool
        ) throws -> (fresh: LabelsOfDay, genuine: LabelsOfDay) {
            var fresh = waiting.mapValues { [$0] }
            let end = ReferenceTime.milliseconds(of: boundary)
            let files = labelFiles.prefix { $0.day <= day }
            labelFiles = labelFiles.dropFirst(files.count)
            var genuine: LabelsOfDay = [:]
            let reading = try labels.read(Array(files), isCancelled: isCancelled) { row in
                guard row.knownAt < end else { return }
                let label = ReferenceFiles.WaitingLabel(knownAt: row.knownAt, isFraud: row.isFraud)
                if row.isFraud {
                    fresh[row.transaction, default: []].append(label)
                } else {
                    genuine[row.transaction, default: []].append(label)
                }
            }
            note(reading)
            for (transaction, labels) in genuine
            where fresh[transaction] != nil || timeline.state.frauds[transaction] != nil {
                fresh[transaction, default: []].append(contentsOf: labels)
                genuine[transaction] = nil
            }
            return (fresh, genuine)
        }

        /// Finds the transactions of labels among those of earlier days, the latest days first.
        private mutating func resolve(
            _ fresh: inout LabelsOfDay, _ isCancelled: () -> Bool
        ) throws {
            // What waited has been looked for before.
            var open = Set(fresh.keys).subtracting(waiting.keys)
            for transaction in open {
                guard let fraud = timeline.state.frauds[transaction] else { continue }
                take(fresh.removeValue(forKey: transaction), of: fraud.row, day: 0)
                open.remove(transaction)
            }
            let earliest = day.adding(days: -refresh.settings.reachDays)
            var past = day.adding(days: -1)
            while !open.isEmpty, past >= earliest {
                for row in try keptRows(of: past, isCancelled) where open.contains(row.transaction) {
                    take(fresh.removeValue(forKey: row.transaction), of: row, day: past.firstStep)
                    open.remove(row.transaction)
                }
                past = past.adding(days: -1)
            }
        }
    }
}
