import Foundation
import Logging
import Metrics
import Retrying
import Synchronization

/// The registry does not say what a schema is: it is away, slow, or refuses. Nothing is wrong with the record.
public struct SchemaRegistryError: Retryable, CustomStringConvertible {
    public let schemaID: UInt32
    let place: String
    let reason: String

    public var isRetryable: Bool { true }

    public var description: String {
        "the schema registry at \(place) does not give schema \(schemaID): \(reason)"
    }
}

/// Schemas by their ids, as Confluent's registry keeps them: asked for once, and kept.
///
/// An id never stands for another schema, so that what is known stays known. Thread-safe; one request is under way at a time.
public final class SchemaRegistry: Sendable {
    /// What came back for a path: `/schemas/ids/7`.
    struct Answer {
        let status: Int
        let body: [UInt8]
    }

    /// Why nothing came back.
    struct NoAnswer: Error {
        let reason: String
    }

    struct Limits {
        /// Of schemas that are kept. Beyond it the one that was asked for first is forgotten.
        var schemas = 1_000
        /// Of ids that the registry does not know.
        var unknown = 10_000
        /// How long it is believed that it does not.
        var unknownLasts = Duration.seconds(60)
        /// Before an id is asked for again that a replica of the registry may not know yet.
        var waits: [Duration] = [.milliseconds(200), .milliseconds(400)]
        /// Unknown ids a minute that are asked for again; more are somebody's invention, and must not hold up the stream.
        var patience = 5
    }

    private struct State {
        var known: [UInt32: RegisteredSchema] = [:]
        /// Of `known`, in the order in which they came.
        var order: [UInt32] = []
        var unknown: [UInt32: ContinuousClock.Instant] = [:]
        /// When ids were waited for that were not known.
        var waited: [ContinuousClock.Instant] = []
        var isWell = true

        /// - Returns: What it was.
        mutating func exchangeWellness(_ isWell: Bool) -> Bool {
            defer { self.isWell = isWell }
            return self.isWell
        }
    }

    /// For people, without a password.
    public let place: String
    private let get: @Sendable (String) throws(NoAnswer) -> Answer
    private let pause: @Sendable (Duration) -> Void
    private let limits: Limits
    private let logger: Logger
    private let state = Mutex(State())
    /// Held while a request is under way.
    private let asking = Mutex(())
    private let asked = Counter(label: "ml_schema_registry_requests_total")
    private let failed = Counter(label: "ml_schema_registry_failures_total")

    init(
        place: String, limits: Limits = Limits(), logger: Logger,
        pause: @escaping @Sendable (Duration) -> Void = { Thread.sleep(forTimeInterval: $0 / .seconds(1)) },
        get: @escaping @Sendable (String) throws(NoAnswer) -> Answer
    ) {
        self.place = place
        self.limits = limits
        self.logger = logger
        self.pause = pause
        self.get = get
    }

    /// Blocks while the registry is asked, for some seconds at most.
    ///
    /// - Throws: `SchemaRegistryError`: it is to be asked again.
    public func schema(_ id: UInt32) throws(SchemaRegistryError) -> RegisteredSchema {
        if let found = remembered(id) { return found }
        return try asking.withLock { _ throws(SchemaRegistryError) in
            if let found = remembered(id) { return found }
            let found = try ask(id)
            remember(id, found)
            return found
        }
    }

    /// Whether the registry answers at all; nil, or what is wrong.
    public func problem() -> String? {
        do throws(NoAnswer) {
            let status = try get("/schemas/types").status
            return status == 200 ? nil : "it answered \(status)"
        } catch {
            return error.reason
        }
    }

    private func remembered(_ id: UInt32) -> RegisteredSchema? {
        state.withLock { state in
            if let schema = state.known[id] { return schema }
            guard let since = state.unknown[id], .now - since < limits.unknownLasts else { return nil }
            return .unknown
        }
    }

    private func remember(_ id: UInt32, _ found: RegisteredSchema) {
        state.withLock { state in
            if case .unknown = found {
                if state.unknown.count >= limits.unknown { state.unknown.removeAll() }
                state.unknown[id] = .now
                return
            }
            if state.order.count >= limits.schemas { state.known[state.order.removeFirst()] = nil }
            state.known[id] = found
            state.order.append(id)
            state.unknown[id] = nil
        }
    }

    private func ask(_ id: UInt32) throws(SchemaRegistryError) -> RegisteredSchema {
        do throws(NoAnswer) {
            var found = try request(id)
            if case .unknown = found, mayWait() {
                for wait in limits.waits {
                    pause(wait)
                    found = try request(id)
                    if case .unknown = found { continue }
                    break
                }
            }
            if !state.withLock({ $0.exchangeWellness(true) }) {
                logger.notice("the schema registry answers again", metadata: ["registry": "\(place)"])
            }
            switch found {
            case .unknown: logger.warning("a schema is unknown", metadata: ["schema": "\(id)"])
            case .unusable(let reason):
                logger.warning(
                    "records of a schema cannot be read",
                    metadata: ["schema": "\(id)", "reason": "\(reason)"])
            case .avro, .json: logger.info("a schema is known now", metadata: ["schema": "\(id)"])
            }
            return found
        } catch {
            failed.increment()
            let problem = SchemaRegistryError(schemaID: id, place: place, reason: error.reason)
            if state.withLock({ $0.exchangeWellness(false) }) {
                logger.warning("the stream waits for a schema", metadata: ["reason": "\(problem)"])
            }
            throw problem
        }
    }

    /// Whether there were few such ids of late.
    private func mayWait() -> Bool {
        state.withLock { state in
            state.waited.removeAll { .now - $0 > .seconds(60) }
            guard state.waited.count < limits.patience else { return false }
            state.waited.append(.now)
            return true
        }
    }

    private func request(_ id: UInt32) throws(NoAnswer) -> RegisteredSchema {
        asked.increment()
        let answer = try get("/schemas/ids/\(id)")
        switch answer.status {
        case 200:
            guard let schema = RegisteredSchema(answer: answer.body) else {
                throw NoAnswer(reason: "its answer is not one of a schema registry")
            }
            return schema
        case 404 where Self.errorCode(answer.body) == 40403: return .unknown
        case 401, 403:
            throw NoAnswer(reason: "it answered \(answer.status): check registry.user and its rights")
        default: throw NoAnswer(reason: "it answered \(answer.status)")
        }
    }

    /// Of the registry's own errors. A 404 without one is another server's, or of a wrong path.
    private static func errorCode(_ body: [UInt8]) -> Int? {
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        return object?["error_code"] as? Int
    }
}
