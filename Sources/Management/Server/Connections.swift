import Metrics
import NIOCore
import Synchronization

/// The connections that are open, so that there are never more than so many. Thread-safe.
final class Connections: Sendable {
    enum Admission {
        case admitted
        /// The one that has been silent for longest is to be closed for it.
        case inPlaceOf(any Channel)
        /// Every other one has a request under way.
        case refused
    }

    private struct Entry {
        let channel: any Channel
        /// When it fell silent, as a number that counts such events; nil: a request is under way.
        var silentSince: UInt64?
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var events: UInt64 = 0

        mutating func next() -> UInt64 {
            events += 1
            return events
        }
    }

    private let maximum: Int
    private let state = Mutex(State())
    private let open = Gauge(label: "ml_http_connections")
    private let refused = Counter(label: "ml_http_connections_refused_total")
    private let replaced = Counter(label: "ml_http_connections_replaced_total")

    init(maximum: Int) { self.maximum = maximum }

    var count: Int { state.withLock { $0.entries.count } }

    /// Takes note of a new connection, if there is room or room can be made.
    func admit(_ channel: any Channel) -> Admission {
        let admission = state.withLock { state -> Admission in
            var admission = Admission.admitted
            if state.entries.count >= maximum {
                let silent = state.entries.filter { $0.value.silentSince != nil }
                guard
                    let longest = silent.min(by: {
                        $0.value.silentSince ?? .max < $1.value.silentSince ?? .max
                    })
                else { return .refused }
                state.entries[longest.key] = nil
                admission = .inPlaceOf(longest.value.channel)
            }
            state.entries[ObjectIdentifier(channel)] = Entry(channel: channel, silentSince: state.next())
            open.record(state.entries.count)
            return admission
        }
        switch admission {
        case .admitted: break
        case .inPlaceOf: replaced.increment()
        case .refused: refused.increment()
        }
        return admission
    }

    func remove(_ channel: any Channel) {
        state.withLock { state in
            state.entries[ObjectIdentifier(channel)] = nil
            open.record(state.entries.count)
        }
    }

    /// - Parameter isBusy: Whether a request is under way.
    func set(_ channel: any Channel, isBusy: Bool) {
        state.withLock { state in
            let since = isBusy ? nil : state.next()
            state.entries[ObjectIdentifier(channel)]?.silentSince = since
        }
    }
}
