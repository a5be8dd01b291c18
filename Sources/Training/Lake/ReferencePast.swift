import Features
import Lake
import Outcomes

/// What reference tables would have said of past transactions: each as served, from a table made at the hour or the day
/// before it, with the labels known then.
struct ReferencePast {
    struct Settings: Sendable {
        /// Days after which a transaction is counted; of the tables that will serve.
        var lagDays = 7
        /// Hours between two tables; 1 to 24, a divisor of 24.
        var tableHours = 1
        /// Days before the first row from which tables are built.
        var historyDays = 120
    }

    /// Reference features of a row.
    static let width = UserWindow.referencePlaces.count

    private let settings: Settings
    private var timeline: ReferenceTimeline?
    /// What was read to warm up.
    private(set) var reading = ScanStatistics()
    private(set) var passedOver = PassedOverRows()

    init(_ settings: Settings) { self.settings = settings }

    /// Builds the state of a day's start from the days before.
    mutating func warmUp(
        before day: LakeDay, reader: LakeReader, labels: LabelIndex, isCancelled: () -> Bool
    ) throws {
        let first = day.adding(days: -settings.historyDays)
        var timeline = ReferenceTimeline(step: first.firstStep, lagDays: settings.lagDays)
        for past in try reader.files(in: first...day.adding(days: -1)).map(\.day).uniqued() {
            let ofDay = try timeline.takeDay(past, of: reader, labels: labels, isCancelled: isCancelled)
            reading.add(ofDay.reading)
            passedOver.add(ofDay.passedOver)
        }
        timeline.advance(to: day.firstStep)
        self.timeline = timeline
    }

    /// The rows of a day's folder.
    struct Day {
        private(set) var rows: [HistoryRow] = []
        private(set) var userHashes: [UInt64] = []
        /// 1 a fraud, 0 none, -1 unknown: the labels that came with the rows.
        private(set) var own: [Int8] = []

        mutating func append(_ row: HistoryRow, userHash: UInt64, own: Int8) {
            rows.append(row)
            userHashes.append(userHash)
            self.own.append(own)
        }

        mutating func removeAll() {
            rows.removeAll(keepingCapacity: true)
            userHashes.removeAll(keepingCapacity: true)
            own.removeAll(keepingCapacity: true)
        }
    }

    /// What tables said of a day's rows, `width` a row; NaN for a row of an hour that is over: it came late.
    mutating func values(of day: Day, day folder: LakeDay, labels: LabelIndex) -> [Float] {
        var values = [Float](repeating: .nan, count: day.rows.count * Self.width)
        guard var timeline else { return values }
        self.timeline = nil  // so that it is changed in place
        let rows = day.rows.indices.map { index in
            day.rows[index].reference(userHash: day.userHashes[index])
        }
        for (index, row) in rows.enumerated() {
            timeline.add(
                row, own: day.own[index] < 0 ? nil : day.own[index] == 1, labels: labels, day: folder)
        }
        var scratch = [Float](repeating: .nan, count: UserWindow.featureCount)
        var view = ReferenceView(timeline.state, at: timeline.step)
        let hours = Int64(settings.tableHours)
        for index in rows.indices.sorted(by: { rows[$0].milliseconds < rows[$1].milliseconds }) {
            let boundary = flooredMultiple(ReferenceTime.step(of: rows[index].milliseconds), of: hours)
            guard boundary >= timeline.step else { continue }
            if boundary > timeline.step {
                timeline.advance(to: boundary)
                view = ReferenceView(timeline.state, at: boundary)
            }
            view.write(rows[index], in: timeline.state, into: &scratch)
            for (place, source) in UserWindow.referencePlaces.enumerated() {
                values[index * Self.width + place] = scratch[source]
            }
        }
        self.timeline = timeline
        return values
    }

    private func flooredMultiple(_ step: Int64, of hours: Int64) -> Int64 {
        let rest = step % hours
        return step - (rest < 0 ? rest + hours : rest)
    }
}

extension HistoryRow {
    /// What references take of it.
    fileprivate func reference(userHash: UInt64) -> ReferenceRow {
        ReferenceRow(
            transaction: transaction, milliseconds: timestampMilliseconds, amount: amount,
            keys: ReferenceKeys(
                merchant: merchant, device: device, country: country, category: category, user: userHash))
    }
}

extension Array where Element: Equatable {
    /// Without elements that equal the one before.
    fileprivate func uniqued() -> [Element] {
        var found: [Element] = []
        for element in self where element != found.last { found.append(element) }
        return found
    }
}

/// From what age on a transaction that nobody has labelled counts as genuine: nine of ten labels of frauds had come by
/// then.
struct LabelMaturity {
    private var delays: [Int64] = []
    private static let capacity = 1 << 20
    private static let leastCount = 20

    mutating func add(delay: Int64) {
        if delays.count < Self.capacity { delays.append(max(0, delay)) }
    }

    /// - Returns: `.min` where too few frauds are known to tell.
    func genuineUntil(_ labels: LabelIndex) -> Int64 {
        guard delays.count >= Self.leastCount, let latest = labels.latestKnownAt else { return .min }
        let now = labels.asOfMilliseconds == .max ? latest : labels.asOfMilliseconds
        return now - delays.sorted()[delays.count * 9 / 10]
    }
}
