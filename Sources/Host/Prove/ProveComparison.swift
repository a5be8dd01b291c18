import Foundation
import Kafka
import Serving

/// A record's place in its topic.
struct ProvePlace: Hashable, Comparable, CustomStringConvertible {
    let partition: Int32
    let offset: Int64

    var description: String { "partition \(partition), offset \(offset)" }

    static func < (left: ProvePlace, right: ProvePlace) -> Bool {
        (left.partition, left.offset) < (right.partition, right.offset)
    }
}

/// A record of one of the topics.
struct ProveRecord {
    let place: ProvePlace
    let payload: [UInt8]
    /// When it was produced, milliseconds since 1970.
    var timestampMilliseconds: Int64 = 0
    var headers: [KafkaHeader] = []

    /// nil: it is no object that names one.
    var transactionID: String? {
        let object = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any]
        return object?["transaction_id"] as? String
    }
}

/// A verdict as it was published, or as it should have been.
struct ProveVerdict {
    let json: [UInt8]
    let transactionID: String
    let userID: String
    /// Where the verdict says that its transaction lies.
    let place: ProvePlace?
    let marks: [String]
    let fallback: String?
    let version: Int

    /// Marks of verdicts that cannot be those of an undisturbed run, and say so.
    static let inexactMarks: Set = [
        "windows-lost", "window-behind", "window-ahead", "window-damaged", "window-moved",
    ]

    var isMarkedInexact: Bool { !Self.inexactMarks.isDisjoint(with: marks) }

    private struct Fields: Decodable {
        struct Source: Decodable {
            let partition: Int32
            let offset: Int64
        }
        struct Model: Decodable { let version: Int }
        let transactionID: String
        let userID: String
        let marks: [String]
        let fallback: String?
        let model: Model
        let source: Source?

        enum CodingKeys: String, CodingKey {
            case marks, fallback, model, source
            case transactionID = "transaction_id"
            case userID = "user_id"
        }
    }

    init(json: [UInt8]) throws {
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(json))
        } catch {
            throw ProveFailure(
                "this is no verdict (\(error)): \(String(decoding: json.prefix(300), as: UTF8.self))")
        }
        self.json = json
        transactionID = fields.transactionID
        userID = fields.userID
        place = fields.source.map { ProvePlace(partition: $0.partition, offset: $0.offset) }
        marks = fields.marks
        fallback = fields.fallback
        version = fields.model.version
    }

    /// The bytes but for the member that names the place in the stream, which an undisturbed run reads from a file.
    var bytesWithoutSource: [UInt8] { RecordedVerdict.withoutSource(json) }
}

/// The judgement over what was published for each record of a topic.
struct ProveComparison {
    struct Finding: Equatable {
        enum Kind: String { case lost, duplicated, different }
        let kind: Kind
        /// Names the record, and says what is wrong.
        let description: String
    }

    /// Records that should have a verdict each; the others should have a dead letter.
    private(set) var transactions = 0
    private(set) var deadLetters = 0
    /// Verdicts that say themselves that they may be inexact; their bytes are not compared.
    private(set) var marked = 0
    private(set) var findings: [Finding] = []

    func count(_ kind: Finding.Kind) -> Int { findings.count { $0.kind == kind } }

    /// - Parameters:
    ///   - records: All records of the topic.
    ///   - expected: The verdicts of an undisturbed run over the same records, by transaction. A record whose transaction is
    ///     not among them is none.
    ///   - verdicts: What was published and committed.
    ///   - deadLetters: The places that committed dead letters name.
    init(
        records: [ProveRecord], expected: [String: ProveVerdict], verdicts: [ProveVerdict],
        deadLetters letters: [ProvePlace]
    ) {
        var verdictsAt: [ProvePlace: [ProveVerdict]] = [:]
        for verdict in verdicts {
            guard let place = verdict.place else {
                add(.different, "transaction \(verdict.transactionID): its verdict names no place")
                continue
            }
            verdictsAt[place, default: []].append(verdict)
        }
        var lettersAt = Dictionary(letters.map { ($0, 1) }, uniquingKeysWith: +)
        for record in records.sorted(by: { $0.place < $1.place }) {
            let found = verdictsAt.removeValue(forKey: record.place) ?? []
            let lettered = lettersAt.removeValue(forKey: record.place) ?? 0
            if let id = record.transactionID, let expectation = expected[id] {
                transactions += 1
                judge(record, expectation, found, deadLetters: lettered)
            } else {
                deadLetters += 1
                judgeUnreadable(record, found, deadLetters: lettered)
            }
        }
        for (place, strange) in verdictsAt.sorted(by: { $0.key < $1.key }) {
            add(.different, "\(strange.count) verdicts of \(place), where there is no record")
        }
        for place in lettersAt.keys.sorted() {
            add(.different, "a dead letter of \(place), where there is no record")
        }
    }

    private mutating func judge(
        _ record: ProveRecord, _ expected: ProveVerdict, _ found: [ProveVerdict], deadLetters: Int
    ) {
        let name = "transaction \(expected.transactionID) (\(record.place))"
        guard let verdict = found.first else {
            return add(.lost, "\(name): no verdict\(deadLetters > 0 ? ", but a dead letter" : "")")
        }
        if found.count + deadLetters > 1 {
            add(.duplicated, "\(name): \(found.count) verdicts, \(deadLetters) dead letters")
        }
        if found.contains(where: \.isMarkedInexact) {
            marked += 1
        } else if let other = found.first(where: { $0.bytesWithoutSource != expected.bytesWithoutSource }) {
            add(.different, "\(name): \(VerdictDifference(expected.json, other.json))")
        } else if verdict.transactionID != expected.transactionID {
            add(.different, "\(name): the verdict there is of \(verdict.transactionID)")
        }
    }

    private mutating func judgeUnreadable(_ record: ProveRecord, _ found: [ProveVerdict], deadLetters: Int) {
        let name = "the record at \(record.place), which is no transaction"
        if !found.isEmpty { add(.different, "\(name): has a verdict") }
        if deadLetters == 0 { add(.lost, "\(name): no dead letter") }
        if deadLetters > 1 { add(.duplicated, "\(name): \(deadLetters) dead letters") }
    }

    private mutating func add(_ kind: Finding.Kind, _ description: String) {
        findings.append(Finding(kind: kind, description: description))
    }
}
