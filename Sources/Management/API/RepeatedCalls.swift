import Crypto
import Exact
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ObjectStore
import Synchronization

/// Answers to changing calls that came with an `Idempotency-Key`. Such a call that is sent again, because its answer got
/// lost say, changes nothing more: it gets the answer of the first one. Thread-safe; calls block.
///
/// They lie in the store, so that any process can be asked, under the hash of the caller's name and key, for one to
/// two days; `AnswerUpkeep` removes what is older. A call is noted before it is begun; one that fails is forgotten,
/// and may be sent again.
final class RepeatedCalls: Sendable {
    struct Answer: Codable, Sendable {
        var status: Int
        var headers: [String: String]
        var body: Data
    }

    private struct Note: Codable {
        /// SHA-256 of what was asked for, hexadecimal.
        var request: String
        /// nil: it has not ended, or its process has, in the middle.
        var answer: Answer?
    }

    enum Outcome: Sendable {
        /// Nobody has asked before; its note is at this key.
        case new(key: String)
        case answered(Answer)
    }

    private static let prefix = "answers/"
    private static let dayMilliseconds: Int64 = 86_400_000
    /// Of a note. A longer answer is not kept.
    private static let maximumSize = 1 << 20

    private let objects: any ObjectStore

    init(objects: any ObjectStore) { self.objects = objects }

    /// What a request asks for, whoever sends it.
    ///
    /// - Parameter endpoint: Its name.
    static func fingerprint(_ endpoint: String, _ call: Call) -> String {
        var hash = SHA256()
        for (name, value) in call.path.merging(call.query, uniquingKeysWith: { $1 }).sorted(by: {
            $0.key < $1.key
        }) {
            hash.update(data: Data("\(name.utf8.count) \(name)\(value.utf8.count) \(value)".utf8))
        }
        hash.update(data: Data(endpoint.utf8))
        hash.update(data: Data(call.body))
        return Hex.text(hash.finalize())
    }

    /// Notes a call that is about to begin.
    ///
    /// - Parameter now: Epoch milliseconds.
    /// - Throws: `Problem` 409 for a key that came with something else, or with a call that has not ended.
    func begin(_ caller: String, _ key: String, request: String, now: Int64) throws -> Outcome {
        let day = now / Self.dayMilliseconds
        let name = Hex.text(SHA256.hash(data: Data("\(caller)\0\(key)".utf8)))
        if let known = try read(Self.objectKey(day - 1, name)) { return try answer(known, request) }
        let today = Self.objectKey(day, name)
        if try objects.putIfUnchanged(today, try Self.encoded(Note(request: request)), .absent) {
            return .new(key: today)
        }
        // Removed a moment ago: the call has failed, and its caller may ask again.
        guard let known = try read(today) else { throw Self.underWay }
        return try answer(known, request)
    }

    func finish(_ key: String, request: String, _ answer: Answer) throws {
        let note = try Self.encoded(Note(request: request, answer: answer))
        guard note.count <= Self.maximumSize else { return try forget(key) }
        try objects.put(key, note, if: .always)
    }

    func forget(_ key: String) throws { try objects.delete(key) }

    private func answer(_ note: Note, _ request: String) throws -> Outcome {
        guard note.request == request else {
            throw Problem(
                .conflict, "idempotency-key-reused", "the idempotency key came with another request before",
                field: "Idempotency-Key")
        }
        guard let answer = note.answer else { throw Self.underWay }
        return .answered(answer)
    }

    private static var underWay: Problem {
        .later(
            "idempotency-key-in-use",
            "the first call with this idempotency key has not ended; if it never does, its process has: look at what has become of it, and take another key",
            seconds: 2, status: .conflict)
    }

    private func read(_ key: String) throws -> Note? {
        guard let object = try objects.get(key, maximumSize: Self.maximumSize) else { return nil }
        return try JSONDecoder().decode(Note.self, from: Data(object.bytes))
    }

    /// Forgets what was answered where the answer names a user: whoever sends such a call again is told so, and changes
    /// nothing. Looks at every answer, as rules are removed by an id that says nothing of their user.
    ///
    /// - Parameter erasure: What a call for this erasure asks for: its earlier receipts go too, and do not count.
    /// - Returns: How many answers those were.
    func erase(userID: String, erasure: String) throws -> Int {
        var erased = 0
        for summary in try objects.listAll(prefix: Self.prefix) {
            let note: Note?
            do {
                note = try read(summary.key)
            } catch is DecodingError {
                // It answers nobody, and nobody can say whom it names.
                try objects.delete(summary.key)
                continue
            }
            guard var note, note.answer?.names(userID) == true else { continue }
            note.answer = try .erased
            try objects.put(summary.key, try Self.encoded(note), if: .always)
            if note.request != erasure { erased += 1 }
        }
        return erased
    }

    /// Removes what nobody is answered with any more.
    ///
    /// - Parameter now: Epoch milliseconds.
    func clean(now: Int64) throws {
        let first = Self.prefix + Self.dayName(now / Self.dayMilliseconds - 1)
        for summary in try objects.listAll(prefix: Self.prefix) where summary.key < first {
            try objects.delete(summary.key)
        }
    }

    private static func objectKey(_ day: Int64, _ name: String) -> String {
        "\(prefix)\(dayName(day))/\(name).json"
    }

    /// Of so many digits that names sort by time.
    private static func dayName(_ day: Int64) -> String {
        let digits = "\(max(0, day))"
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    private static func encoded(_ note: Note) throws -> [UInt8] { [UInt8](try JSONEncoder().encode(note)) }
}

extension ManagementServices {
    /// Does what a call asks for, once for each `Idempotency-Key` of a caller.
    func once(
        _ call: Call, _ endpoint: Endpoint, _ body: @escaping @Sendable () async throws -> Response
    ) async throws -> Response {
        guard endpoint.isAnsweredOnce, let key = call.header("Idempotency-Key") else {
            return try await body()
        }
        let request = RepeatedCalls.fingerprint(endpoint.name, call)
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        let outcome = try await blocking {
            try repeated.begin(call.caller, key, request: request, now: now)
        }
        let place: String
        switch outcome {
        case .answered(let answer):
            call.record.set("repeated", "true")
            return Response(answer)
        case .new(let key): place = key
        }
        do {
            let response = try await body()
            let answer = try await RepeatedCalls.Answer(response)
            try await blocking { try repeated.finish(place, request: request, answer) }
            return Response(answer)
        } catch {
            try? await blocking { try repeated.forget(place) }
            throw error
        }
    }
}

extension RepeatedCalls.Answer {
    /// In place of one that named a user who has been erased.
    fileprivate static var erased: Self {
        get throws {
            let problem = Problem(
                .gone, "answer-erased",
                "the first call with this idempotency key was answered, and a user whom its answer named has been erased since: take another key to ask anew",
                field: "Idempotency-Key")
            return Self(
                status: problem.status.code, headers: ["Content-Type": Problem.contentType],
                body: try problem.json())
        }
    }

    /// Whether one of the body's texts is a user's id.
    fileprivate func names(_ userID: String) -> Bool {
        let json = try? JSONSerialization.jsonObject(with: body, options: .fragmentsAllowed)
        return json.map { Self.holds($0, userID) } ?? false
    }

    private static func holds(_ json: Any, _ text: String) -> Bool {
        switch json {
        // Ids are told apart by their bytes.
        case let value as String: value.utf8.elementsEqual(text.utf8)
        case let values as [Any]: values.contains { holds($0, text) }
        case let members as [String: Any]: members.values.contains { holds($0, text) }
        default: false
        }
    }

    private final class Collected: Sendable {
        let bytes = Mutex<[UInt8]>([])
    }

    private struct Writer: ResponseBodyWriter {
        let collected: Collected

        mutating func write(_ buffer: ByteBuffer) async throws {
            collected.bytes.withLock { $0 += buffer.readableBytesView }
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }

    /// Of an answer that ends.
    fileprivate init(_ response: Response) async throws {
        let collected = Collected()
        try await response.body.write(Writer(collected: collected))
        status = response.status.code
        headers = Dictionary(response.headers.map { ($0.name.rawName, $0.value) }) { $1 }
        body = Data(collected.bytes.withLock { $0 })
    }
}

extension Response {
    fileprivate init(_ answer: RepeatedCalls.Answer) {
        var headers = HTTPFields()
        for (name, value) in answer.headers {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        self.init(
            status: HTTPResponse.Status(code: answer.status), headers: headers,
            body: answer.body.isEmpty ? .init() : .init(byteBuffer: ByteBuffer(bytes: answer.body)))
    }
}
