import Features

/// Takes transactions and labels in, and applies each when a table would have known of it: the one code that tables
/// are built with and training looks into the past with.
///
/// - A transaction's amount counts in the hour in which it happened, the transaction itself `lagDays` later, about
///   when its label would be known: a merchant's frauds and transactions are then of the same days.
/// - A fraud counts in the hour in which its label became known, or its transaction happened if that is later.
/// - What lies in the folder of a later day than its own time is known from the start of that day on.
public struct ReferenceTimeline: Sendable {
    private struct Event {
        /// Of labels that became known at one moment, the fraud comes last, and stands.
        enum Kind: UInt8 { case amount, count, genuine, fraud }

        let kind: Kind
        /// The hour that weighs it.
        let step: Int64
        let row: ReferenceRow
        /// Of a label: when it became known.
        var knownAt: Int64 = .min
    }

    public let lagSteps: Int64
    public private(set) var state: ReferenceState
    /// Everything that was known before this boundary is in.
    public private(set) var step: Int64
    private var pending: [Int64: [Event]] = [:]

    /// - Parameters:
    ///   - step: The boundary that the state is of.
    public init(state: ReferenceState = ReferenceState(), step: Int64, lagDays: Int) {
        self.state = state
        self.step = step
        lagSteps = Int64(lagDays) * ReferenceTime.stepsOfDay
    }

    /// Takes a transaction of a day's folder.
    ///
    /// - Parameter day: The first boundary of the folder's day.
    public mutating func add(_ row: ReferenceRow, day: Int64) {
        let own = ReferenceTime.step(of: row.milliseconds)
        // A file of another day's rows from the future would make a table know what had not happened.
        guard own < day + ReferenceTime.stepsOfDay else { return }
        schedule(Event(kind: .amount, step: own, row: row), at: max(own, day))
        addCount(row, day: day)
    }

    /// Only the count that is due later, for a transaction that was taken before.
    public mutating func addCount(_ row: ReferenceRow, day: Int64) {
        let own = ReferenceTime.step(of: row.milliseconds)
        guard own < day + ReferenceTime.stepsOfDay else { return }
        schedule(Event(kind: .count, step: own + lagSteps, row: row), at: max(own, day) + lagSteps)
    }

    /// Takes a label of a transaction.
    ///
    /// - Parameter day: The first boundary of the folder's day of the transaction.
    public mutating func add(label isFraud: Bool, knownAt: Int64, of row: ReferenceRow, day: Int64) {
        let happened = max(ReferenceTime.step(of: row.milliseconds), day)
        let known = max(ReferenceTime.step(of: knownAt), ReferenceTime.step(of: row.milliseconds))
        schedule(
            Event(kind: isFraud ? .fraud : .genuine, step: known, row: row, knownAt: knownAt),
            at: max(known, happened))
    }

    private mutating func schedule(_ event: Event, at due: Int64) {
        pending[max(due, step), default: []].append(event)
    }

    /// Applies what was known before a boundary, hour by hour.
    public mutating func advance(to boundary: Int64) {
        while step < boundary {
            if let events = pending.removeValue(forKey: step) { apply(events) }
            step += 1
            // At moments of the calendar, so that it does not matter where a timeline began.
            if step % Self.forgettingSteps == 0 { state.forget(at: step) }
        }
    }

    /// 30 days.
    private static let forgettingSteps: Int64 = 720

    /// In an order of their own, so that it does not matter how rows lie in files.
    private mutating func apply(_ events: [Event]) {
        let sorted = events.sorted { a, b in
            if a.step != b.step { return a.step < b.step }
            if a.knownAt != b.knownAt { return a.knownAt < b.knownAt }
            if a.kind != b.kind { return a.kind.rawValue < b.kind.rawValue }
            if a.row.transaction != b.row.transaction { return a.row.transaction < b.row.transaction }
            if a.row.amount != b.row.amount { return a.row.amount < b.row.amount }
            // Of one transaction that is there twice, at two merchants: a fraud is counted where it is met first.
            let (one, other) = (a.row.keys, b.row.keys)
            if one.merchant != other.merchant { return one.merchant < other.merchant }
            return (one.device, one.country, one.category, one.user)
                < (other.device, other.country, other.category, other.user)
        }
        for event in sorted {
            switch event.kind {
            case .amount: state.addAmount(event.row)
            case .count: state.addCount(event.row.keys, step: event.step)
            case .fraud: state.addFraud(event.row, step: event.step)
            case .genuine: state.removeFraud(event.row.transaction)
            }
        }
    }

    /// The table of the present boundary, without its checksum.
    func table() -> [UInt8] {
        let view = ReferenceView(state, at: step)
        let things = state.places.compactMap { key, place in
            view.entry(state.sums[Int(place)], state.runs[key]).map { (key: key, entry: $0) }
        }
        return ReferenceTable.encode(
            things, step: step, prior: view.prior, lagSteps: lagSteps, fraudCount: UInt64(state.frauds.count))
    }
}
