import Foundation
import Logging
import Synchronization
import Testing

@testable import SchemaRegistry

/// What is asked of a registry, how often, and what its answers mean.
@Suite struct SchemaRegistryTests {
    /// A registry of the test's own, that can be away.
    private final class Source: Sendable {
        private struct State {
            var schemas: [String: String] = [:]
            var paths: [String] = []
            var failure: String?
            var status: Int?
            /// Requests until an id is known.
            var late = 0
        }
        private let state = Mutex(State())
        let pauses = Mutex<[Duration]>([])

        var paths: [String] { state.withLock { $0.paths } }
        func register(_ id: UInt32, _ answer: String, after late: Int = 0) {
            state.withLock {
                $0.schemas["/schemas/ids/\(id)"] = answer
                $0.late = late
            }
        }
        func fail(_ reason: String?, status: Int? = nil) {
            state.withLock { ($0.failure, $0.status) = (reason, status) }
        }

        func registry(_ limits: SchemaRegistry.Limits = .init()) -> SchemaRegistry {
            SchemaRegistry(
                place: "http://registry", limits: limits,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                pause: { [self] wait in pauses.withLock { $0.append(wait) } },
                get: { [self] path throws(SchemaRegistry.NoAnswer) in try answer(path) })
        }

        private func answer(_ path: String) throws(SchemaRegistry.NoAnswer) -> SchemaRegistry.Answer {
            let (failure, status, answer): (String?, Int?, String?) = state.withLock { state in
                state.paths.append(path)
                let isKnown = state.paths.count > state.late
                return (state.failure, state.status, isKnown ? state.schemas[path] : nil)
            }
            if let failure { throw SchemaRegistry.NoAnswer(reason: failure) }
            if let status { return .init(status: status, body: Array("not found".utf8)) }
            guard let answer else {
                return .init(
                    status: 404, body: Array(#"{"error_code":40403,"message":"Schema not found"}"#.utf8))
            }
            return .init(status: 200, body: Array(answer.utf8))
        }
    }

    private static let avro =
        #"{"schema":"{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"amount\",\"type\":\"double\"}]}"}"#

    @Test func aSchemaIsAskedForOnce() throws {
        let source = Source()
        source.register(7, Self.avro)
        let registry = source.registry()
        for _ in 0..<100 {
            guard case .avro(let schema) = try registry.schema(7) else {
                Issue.record("no Avro schema")
                return
            }
            #expect(schema.fields.map(\.name) == ["amount"])
        }
        #expect(source.paths == ["/schemas/ids/7"])
    }

    /// Several threads that need one schema at once make one request.
    @Test func aRequestUnderWayIsNotMadeTwice() {
        let source = Source()
        source.register(7, Self.avro)
        let registry = source.registry()
        DispatchQueue.concurrentPerform(iterations: 16) { _ in _ = try? registry.schema(7) }
        #expect(source.paths.count == 1)
    }

    @Test(arguments: [
        (500, "it answered 500"), (401, "registry.user"), (404, "it answered 404"), (302, "302"),
    ])
    func aRegistryThatDoesNotAnswerIsAskedAgain(status: Int, word: String) throws {
        let source = Source()
        source.register(7, Self.avro)
        let registry = source.registry()
        source.fail(nil, status: status)
        let error = #expect(throws: SchemaRegistryError.self) { try registry.schema(7) }
        #expect(error?.isRetryable == true && error.map { "\($0)".contains(word) } == true)
        source.fail("connection refused")
        #expect(throws: SchemaRegistryError.self) { try registry.schema(7) }
        source.fail(nil)
        guard case .avro = try registry.schema(7) else {
            Issue.record("not asked again")
            return
        }
    }

    @Test func anAnswerOfSomethingElseIsNoSchema() {
        let source = Source()
        source.register(7, "<html>welcome</html>")
        #expect(throws: SchemaRegistryError.self) { try source.registry().schema(7) }
    }

    /// A replica of the registry may hear of a schema later than its first record comes.
    @Test func anIDThatIsNotKnownYetIsAskedForAgainAMomentLater() throws {
        let source = Source()
        source.register(7, Self.avro, after: 2)
        guard case .avro = try source.registry().schema(7) else {
            Issue.record("not asked again")
            return
        }
        #expect(source.paths.count == 3 && source.pauses.withLock { $0.count } == 2)
    }

    /// Ids that somebody invents are asked for, and not waited for again and again.
    @Test func inventedIDsDoNotHoldUpTheStream() throws {
        let source = Source()
        let registry = source.registry()
        for _ in 0..<2 {
            for id in UInt32(0)..<50 {
                guard case .unknown = try registry.schema(id) else {
                    Issue.record("\(id) is known")
                    return
                }
            }
        }
        let limits = SchemaRegistry.Limits()
        #expect(source.paths.count == 50 + limits.patience * limits.waits.count)
        #expect(source.pauses.withLock { $0.count } == limits.patience * limits.waits.count)
    }

    @Test func whatIsKeptIsBounded() throws {
        let source = Source()
        var limits = SchemaRegistry.Limits()
        limits.schemas = 3
        let registry = source.registry(limits)
        for id in UInt32(0)..<5 {
            source.register(id, Self.avro)
            _ = try registry.schema(id)
        }
        _ = try registry.schema(4)
        #expect(source.paths.count == 5)
        _ = try registry.schema(0)
        #expect(source.paths.count == 6)
    }

    @Test(arguments: [
        (#"{"schema":"{}","schemaType":"JSON"}"#, "json"),
        (#"{"schema":"x","schemaType":"PROTOBUF"}"#, "PROTOBUF"),
        (#"{"schema":"\"string\""}"#, "not of a record"), (#"{"schema":"{"}"#, "not JSON"),
        (#"{"schema":"{\"type\":\"record\",\"name\":\"T\"}"}"#, "fields"),
        (
            #"{"schema":"{\"type\":\"record\",\"name\":\"T\",\"fields\":[]}","references":[{"name":"a"}]}"#,
            "refers"
        ),
    ])
    func whatARegistryHasUnderAnID(answer: String, word: String) throws {
        switch try #require(RegisteredSchema(answer: Array(answer.utf8))) {
        case .json: #expect(word == "json")
        case .unusable(let reason): #expect(reason.contains(word), "\(reason)")
        case .avro, .unknown: Issue.record("taken for a schema: \(answer)")
        }
    }

    @Test(arguments: ["registry:8081", "ftp://registry", "http://", "http://user:word@registry"])
    func anAddressThatIsNoneIsNamed(url: String) {
        #expect(throws: RegistryAddressError.self) {
            try SchemaRegistry(url: url, user: nil, password: nil, logger: Logger(label: "test"))
        }
    }
}
