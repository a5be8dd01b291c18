import Crypto
import Exact
import Foundation
import Metrics
import Models
import Serving
import Synchronization
import Training

/// What happens, told to whoever listens on `/v1/events`. Thread-safe; nobody who tells waits for a listener.
///
/// The newest events are kept, so that a listener who was away goes on where it stood. A listener that does not keep up is
/// let go of; it comes back with the number of the last event that it has.
public final class EventHub: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case anomaly, job, promotion, flood
        /// Events are missing here: they are no longer kept, or came too fast to be told one by one.
        case missed
    }

    struct Event: Sendable {
        /// Of this process, from 1; nil: told to one listener alone.
        let number: Int?
        /// nil: a sign of life.
        let kind: Kind?
        /// Whom it is about; nil: nobody in particular.
        let userID: String?
        /// JSON without a line end.
        let json: [UInt8]
        /// nil: nothing to send word of to people.
        var notice: Notice?
    }

    /// What an event is to somebody who does not listen all the time.
    struct Notice: Sendable {
        /// `model.promoted`, ...
        let type: String
        /// Made of what happened: the same in every process that sees it. ASCII letters and digits.
        let id: String

        /// - Parameter facts: What tells this event from others of its type; may hold what users wrote.
        init(type: String, facts: String) {
            self.type = type
            id = Hex.text(SHA256.hash(data: Data("\(type) \(facts)".utf8)).prefix(16))
        }
    }

    /// Which events a listener wants.
    struct Filter: Sendable {
        var kinds: Set<Kind> = Set(Kind.allCases)
        var userID: String?
        /// The listener may hear of users whose ids begin so, and of nobody else; nil: of all.
        var tenantPrefix: String?

        func lets(_ event: Event) -> Bool {
            guard let kind = event.kind, kinds.contains(kind) || kind == .missed else { return false }
            if let userID, event.userID.map({ !$0.utf8.elementsEqual(userID.utf8) }) ?? (kind == .anomaly) {
                return false
            }
            guard let tenantPrefix else { return true }
            return event.userID?.utf8.starts(with: tenantPrefix.utf8) ?? false || kind == .missed
        }
    }

    private struct Listener {
        let filter: Filter
        let continuation: AsyncStream<Event>.Continuation
    }

    private struct State {
        var kept: [Event] = []
        var count = 0
        var listeners: [Int: Listener] = [:]
        var nextListener = 0
        /// Milliseconds since 1970 at which the first of them came.
        var listeningSince: Int64 = 0
        /// Anomalies told within this second, and those that were not.
        var second = 0
        var told = 0
        var untold = 0
        /// When somebody listened last.
        var listened: ContinuousClock.Instant?
    }

    static let maximumKept = 2_000
    static let maximumListeners = 32
    /// Events that wait for a listener, beyond which it is let go of.
    static let maximumWaiting = 512
    /// Beyond so many a second only their number is told.
    static let anomaliesASecond = 100

    /// Of this process: numbers of another one mean nothing here.
    let epoch = String(UInt32.random(in: 1 ... .max), radix: 16)
    private let groups: AlertGroups
    private let state = Mutex(State())
    private let listening = Gauge(label: "ml_event_listeners")
    private let dropped = Counter(label: "ml_event_listeners_dropped_total")

    public init(groups: AlertGroups = AlertGroups()) { self.groups = groups }

    // MARK: Telling

    /// Alerts of a delivered batch: anomalies that no rule suppresses, and what rules make alerts.
    public func note(_ scored: ScoredBatch) {
        // Who has been away for longer than this asks `/v1/anomalies`.
        let isHeard = state.withLock { state in
            state.listeners.values.contains { $0.filter.kinds.contains(.anomaly) }
                || state.listened.map { .now - $0 < .seconds(60) } ?? false
        }
        guard isHeard else { return }
        let now = Int(Date().timeIntervalSince1970)
        let rows = scored.notableRows.filter(scored.isAlert)
        let times = scored.windowed.consumed.transactions.timestampMilliseconds
        verdicts(scored, publish: .all, rows: rows).visit { index, user, verdict in
            let group = groups.id(user: user, timeMilliseconds: times[rows[index]])
            let event = Event(
                number: nil, kind: .anomaly, userID: String(decoding: user, as: UTF8.self),
                json: Array(verdict.dropLast()) + Array(",\"group\":\"\(group)\"}".utf8))
            state.withLock { state in
                if state.second != now { startSecond(now, &state) }
                guard state.told < Self.anomaliesASecond else {
                    state.untold += 1
                    return
                }
                state.told += 1
                tell(event, &state)
            }
        }
    }

    public func note(_ changes: [ModelChange]) {
        for change in changes.prefix(100) {
            let version = change.to.map { "v\($0)" } ?? "none"
            let facts = "\(change.tenant.name) \(version) \(change.timeMilliseconds)"
            tell(
                .promotion, change.userID, ChangeView(change),
                notice: Notice(type: "model.promoted", facts: facts))
        }
    }

    public func note(_ flood: ModelWatch.Flood, remedy: String) {
        tell(
            .flood, flood.tenant.userID, FloodView(flood, remedy: remedy),
            notice: Notice(type: "alerts.flood", facts: "\(flood.tenant.name) v\(flood.version)"))
    }

    func note(_ job: TrainingJob) {
        var notice: Notice?
        if job.state == .failed { notice = Notice(type: "job.failed", facts: job.id) }
        if job.state == .succeeded, job.request.promotion == .gated,
            let models = job.outcome?.models, models.count == 1, !models[0].isPromoted
        {
            notice = Notice(type: "model.refused", facts: job.id)
        }
        tell(.job, job.request.userID, JobView(job), notice: notice)
    }

    private func tell(_ kind: Kind, _ userID: String?, _ value: some Encodable, notice: Notice?) {
        guard let json = try? JSONEncoder.answers.encode(value) else { return }
        let event = Event(number: nil, kind: kind, userID: userID, json: Array(json), notice: notice)
        state.withLock { tell(event, &$0) }
    }

    private func startSecond(_ now: Int, _ state: inout State) {
        let untold = state.untold
        (state.second, state.told, state.untold) = (now, 0, 0)
        if untold > 0 { tell(Self.missed(untold), &state) }
    }

    private static func missed(_ count: Int?) -> Event {
        let json = count.map { "{\"anomalies\":\($0)}" } ?? "{}"
        return Event(number: nil, kind: .missed, userID: nil, json: Array(json.utf8))
    }

    private func tell(_ event: Event, _ state: inout State) {
        state.count += 1
        let event = Event(
            number: state.count, kind: event.kind, userID: event.userID, json: event.json,
            notice: event.notice)
        state.kept.append(event)
        // A half at once, so that a long list is not moved for every event.
        if state.kept.count >= 2 * Self.maximumKept { state.kept.removeFirst(Self.maximumKept) }
        for (number, listener) in state.listeners where listener.filter.lets(event) {
            guard case .dropped = listener.continuation.yield(event) else { continue }
            listener.continuation.finish()
            state.listeners[number] = nil
            listening.record(state.listeners.count)
            dropped.increment()
        }
    }

    /// Forgets a user: what is kept of them is told to nobody any more.
    public func erase(userID: String) {
        state.withLock { state in
            state.kept.removeAll { $0.userID?.utf8.elementsEqual(userID.utf8) ?? false }
        }
    }

    // MARK: Listening

    /// - Parameter after: The id of the last event that the listener has; nil: from now on.
    /// - Returns: What comes, until the listener is let go of; nil: there are too many.
    func listen(_ filter: Filter, after id: String?) -> (number: Int, events: AsyncStream<Event>)? {
        let (events, continuation) = AsyncStream.makeStream(
            of: Event.self, bufferingPolicy: .bufferingOldest(Self.maximumKept + Self.maximumWaiting))
        let number = state.withLock { state -> Int? in
            guard state.listeners.count < Self.maximumListeners else { return nil }
            for event in missedEvents(after: id, state) where filter.lets(event) { continuation.yield(event) }
            if state.listeners.isEmpty {
                state.listeningSince = Int64(Date().timeIntervalSince1970 * 1_000)
            }
            state.nextListener += 1
            state.listeners[state.nextListener] = Listener(filter: filter, continuation: continuation)
            listening.record(state.listeners.count)
            return state.nextListener
        }
        return number.map { ($0, events) }
    }

    func leave(_ number: Int) {
        state.withLock { state in
            state.listeners.removeValue(forKey: number)?.continuation.finish()
            state.listened = .now
            listening.record(state.listeners.count)
        }
    }

    /// Something that is no event, so that a connection does not fall silent.
    func beat(_ number: Int) {
        let beat = Event(number: nil, kind: nil, userID: nil, json: [])
        state.withLock { _ = $0.listeners[number]?.continuation.yield(beat) }
    }

    var isFull: Bool { state.withLock { $0.listeners.count >= Self.maximumListeners } }

    /// Milliseconds since 1970 from which on somebody has listened; nil: nobody does.
    var listeningSince: Int64? { state.withLock { $0.listeners.isEmpty ? nil : $0.listeningSince } }

    private func missedEvents(after id: String?, _ state: State) -> [Event] {
        guard let id else { return [] }
        let parts = id.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == epoch, let last = Int(parts[1]), (0...state.count).contains(last)
        else { return [Self.missed(nil)] }
        let first = state.kept.first?.number ?? state.count + 1
        return (last + 1 < first ? [Self.missed(nil)] : []) + state.kept.filter { ($0.number ?? 0) > last }
    }

    /// As `text/event-stream` has it.
    func frame(_ event: Event) -> [UInt8] {
        guard let kind = event.kind else { return Array(": here\n\n".utf8) }
        var text = "event: \(kind.rawValue)\n"
        if let number = event.number { text += "id: \(epoch)-\(number)\n" }
        return Array("\(text)data: ".utf8) + event.json + Array("\n\n".utf8)
    }
}

private struct ChangeView: Encodable {
    let tenant: String
    /// nil: the global model.
    let userId: String?
    let version: String?
    let previous: String?
    let by: String
    let reason: String
    let timeMs: Int64

    init(_ change: ModelChange) {
        tenant = change.tenant.description
        userId = change.userID
        version = change.to.map { "v\($0)" }
        previous = change.from.map { "v\($0)" }
        by = change.by
        reason = change.reason
        timeMs = change.timeMilliseconds
    }
}

private struct FloodView: Encodable {
    let tenant: String
    /// nil: the global model.
    let userId: String?
    let version: String
    let transactions: Int
    let alerts: Int
    let budget: Double
    let remedy: String

    init(_ flood: ModelWatch.Flood, remedy: String) {
        tenant = flood.tenant.description
        userId = flood.tenant.userID
        version = "v\(flood.version)"
        transactions = flood.transactions
        alerts = flood.alerts
        budget = flood.budget
        self.remedy = remedy
    }
}
