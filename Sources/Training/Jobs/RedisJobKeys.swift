import Foundation
import Redis

/// Calls the scripts of `RedisJobStore` and reads its records. Thread-safe; calls block.
struct RedisJobKeys: Sendable {
    enum Submitted {
        case new
        /// The key came before, with this job.
        case known(String)
        case full
        /// Too many of the submitter's wait.
        case waiting
        /// Too many within an hour, of which the oldest that counts came at this time.
        case hour(Int64)
    }

    private let connection: RedisConnection
    private let prefix: String
    private let limits: JobLimits
    private static let keptDamaged = 100
    /// Jobs of one call.
    static let pageSize = 500

    init(_ connection: RedisConnection, prefix: String, limits: JobLimits) {
        self.connection = connection
        self.prefix = "\(prefix){jobs}:"
        self.limits = limits
    }

    private func key(_ name: String) -> RedisArgument { .text(prefix + name) }

    private func evaluate(_ script: RedisScript, _ arguments: RedisArguments) throws -> RedisReply {
        var all: RedisArguments = [.text(prefix)]
        all.append(contentsOf: arguments)
        return try connection.evaluate(script, keys: [key("all")], arguments: all)
    }

    // MARK: Changing

    func submit(
        _ record: RedisJobRecord, key: String?, submitter: String, now: Int64
    ) throws -> Submitted {
        let answer = try evaluate(
            RedisJobScripts.submit,
            [
                .text(record.job.id), .text(key.map { "k\($0)" } ?? ""), .integer(JobBounds.maximumQueued),
                .bytes(try record.encoded()), .text(record.job.request.kin ?? ""), .text(submitter),
                .text("\(now)"), .integer(limits.waiting), .integer(limits.anHour),
            ])
        let values = (answer.array ?? []).compactMap(\.text)
        guard values.count == 2 else { throw strange("no answer") }
        switch values[0] {
        case "new": return .new
        case "known": return .known(values[1])
        case "full": return .full
        case "waiting": return .waiting
        case "hour": return .hour(Double(values[1]).flatMap { Int64(exactly: $0.rounded()) } ?? now)
        default: throw strange(values[0])
        }
    }

    /// - Returns: For each whether it was written.
    @discardableResult
    func apply(_ changes: [RedisJobChange], now: Int64) throws -> [Bool] {
        var written: [Bool] = []
        for page in changes.chunked(Self.pageSize) {
            var arguments: RedisArguments = [
                .integer(JobBounds.maximumFinished), .text("\(now - limits.keptMilliseconds)"),
            ]
            for change in page {
                let texts = [
                    change.record.job.id, change.condition.field, change.condition.value, change.state,
                    change.score, change.record.holder ?? "",
                ]
                for text in texts { arguments.append(text) }
                arguments.append(.bytes(try change.record.encoded()))
                arguments.append(change.begins ? "\(now)" : "")
            }
            written += try answers(RedisJobScripts.apply, arguments, count: page.count)
        }
        return written
    }

    /// - Returns: For each whether it is still held.
    func renew(_ running: [JobProgress], now: Int64) throws -> [Bool] {
        var held: [Bool] = []
        for page in running.chunked(Self.pageSize) {
            var arguments: RedisArguments = [
                .text("\(now + JobBounds.leaseMilliseconds)"), .text("\(now)"),
            ]
            for job in page {
                for text in [
                    job.claimed.job.id, job.claimed.holder, job.stage?.rawValue ?? "", "\(job.progress)",
                ] { arguments.append(text) }
            }
            held += try answers(RedisJobScripts.renew, arguments, count: page.count)
        }
        return held
    }

    private func answers(
        _ script: RedisScript, _ arguments: RedisArguments, count: Int
    ) throws -> [Bool] {
        let answers = try evaluate(script, arguments).array ?? []
        guard answers.count == count else { throw strange("\(answers.count) answers for \(count)") }
        return answers.map { $0.integer == 1 }
    }

    func remove(_ id: String) throws -> Bool {
        try evaluate(RedisJobScripts.removing, [.text(id)]).integer == 1
    }

    /// Moves a record that cannot be read out of everybody's way.
    func setAside(_ raw: RedisJobRecord.Raw) throws {
        _ = try connection.pipeline([
            ["LPUSH", key("damaged"), .bytes(raw.body)],
            ["LTRIM", key("damaged"), 0, .integer(Self.keptDamaged - 1)],
        ])
        _ = try remove(raw.id)
    }

    /// Forgets damaged records that hold a text.
    func removeDamaged(holding text: String) throws {
        for record in try connection.command(["LRANGE", key("damaged"), 0, -1]).array ?? [] {
            guard let bytes = record.bytes, String(decoding: bytes, as: UTF8.self).contains(text) else {
                continue
            }
            try connection.command(["LREM", key("damaged"), 0, .bytes(bytes)])
        }
    }

    func release(worker: String) throws { _ = try evaluate(RedisJobScripts.release, [.text(worker)]) }

    // MARK: Reading

    /// The next whose turn it is, or whose holder's lease has ended; nil: none.
    func next(now: Int64) throws -> RedisJobRecord.Raw? {
        let answer = try evaluate(
            RedisJobScripts.next,
            [
                .text("\(now)"), .integer(JobBounds.maximumFinished),
                .text("\(now - limits.keptMilliseconds)"),
            ])
        guard let values = answer.array else { return nil }
        guard values.count == 3, let id = values[0].text, let body = values[2].bytes else {
            throw strange("no job")
        }
        return RedisJobRecord.Raw(id: id, revision: values[1].text.flatMap { Int64($0) }, body: body)
    }

    /// Those that wait and ask for the same, the oldest first.
    func alike(_ kin: String) throws -> [String] {
        (try evaluate(RedisJobScripts.alike, [.text(kin)]).array ?? []).compactMap(\.text)
    }

    /// - Parameter id: Only those older than this one; nil: from the newest on.
    func newest(limit: Int, before id: String?) throws -> [String] {
        guard let id else { return try ids(["ZREVRANGE", key("all"), 0, .integer(max(1, limit) - 1)]) }
        // By its score, which stays: places move with every job that comes in meanwhile.
        guard let score = try connection.command(["ZSCORE", key("all"), .text(id)]).text else { return [] }
        return try ids([
            "ZREVRANGEBYSCORE", key("all"), .text("(" + score), "-inf", "LIMIT", 0, .integer(max(1, limit)),
        ])
    }

    func allIDs() throws -> [String] { try ids(["ZRANGE", key("all"), 0, -1]) }

    private func ids(_ command: RedisArguments) throws -> [String] {
        (try connection.command(command).array ?? []).compactMap(\.text)
    }

    /// nil for those that are not there.
    func read(_ ids: [String]) throws -> [RedisJobRecord.Raw?] {
        var found: [RedisJobRecord.Raw?] = []
        for page in ids.chunked(Self.pageSize) {
            let answers = try connection.pipeline(
                page.map { ["HMGET", key("job:\($0)"), "rev", "body", "stage", "progress", "updated"] })
            found += zip(page, answers).map { id, answer in
                guard let values = answer.array, values.count == 5, let body = values[1].bytes else {
                    return nil
                }
                return RedisJobRecord.Raw(
                    id: id, revision: values[0].text.flatMap { Int64($0) }, body: body, stage: values[2].text,
                    progress: values[3].text, updated: values[4].text)
            }
        }
        return found
    }

    /// nil for those that are not there or cannot be read.
    func records(_ ids: [String]) throws -> [RedisJobRecord.Stored?] {
        try read(ids).map { raw in raw.flatMap { try? $0.decoded() } }
    }

    // MARK: Parts

    func writePart(_ member: PartMember, _ number: Int, _ part: UsersPart) throws -> Bool {
        try evaluate(
            RedisJobScripts.writePart,
            [
                .text(member.jobID), .text(member.name), .integer(member.isHolder ? 1 : 0), .integer(number),
                .bytes(try Self.json(part)),
            ]
        ).integer == 1
    }

    func join(_ member: PartMember, basis: String, now: Int64) throws -> Bool {
        try evaluate(
            RedisJobScripts.join,
            [
                .text(member.jobID), .text(member.name), .integer(member.isHolder ? 1 : 0), .text("\(now)"),
                .text("\(now + JobBounds.leaseMilliseconds)"), .text(basis),
            ]
        ).integer == 1
    }

    func joinable(now: Int64) throws -> String? {
        try evaluate(RedisJobScripts.joinable, [.text("\(now)")]).text
    }

    /// - Returns: nil: the member takes part no longer.
    func takeParts(_ member: PartMember, count: Int, now: Int64) throws -> PartsTurn? {
        let answer = try evaluate(
            RedisJobScripts.takeParts,
            [
                .text(member.jobID), .text(member.name), .integer(member.isHolder ? 1 : 0), .text("\(now)"),
                .text("\(now + JobBounds.leaseMilliseconds)"), .integer(count),
            ])
        let numbers = (answer.array ?? []).compactMap(\.integer).map { Int($0) }
        guard let open = numbers.first else { throw strange("no parts") }
        return open < 0 ? nil : PartsTurn(open: open, parts: Array(numbers.dropFirst()))
    }

    func renew(_ member: PartMember, now: Int64) throws -> Bool {
        try evaluate(
            RedisJobScripts.renewMember,
            [
                .text(member.jobID), .text(member.name), .text("\(now + JobBounds.leaseMilliseconds)"),
            ]
        ).integer == 1
    }

    func replacePart(_ id: String, _ number: Int, _ part: UsersPart) throws {
        _ = try evaluate(
            RedisJobScripts.replacePart, [.text(id), .integer(number), .bytes(try Self.json(part))])
    }

    /// A part that cannot be read is done again.
    func parts(_ id: String) throws -> [Int: UsersPart] {
        let values = try connection.command(["HGETALL", key("parts:\(id)")]).array ?? []
        var parts: [Int: UsersPart] = [:]
        for place in stride(from: 0, to: values.count - 1, by: 2) {
            guard let number = values[place].text.flatMap({ Int($0) }), let bytes = values[place + 1].bytes,
                (0..<History.partCount).contains(number),
                let part = try? JSONDecoder().decode(UsersPart.self, from: Data(bytes)),
                part.division == UsersPart.currentDivision
            else {
                // Out of the way of the one that will be written.
                try connection.command(["HDEL", key("parts:\(id)"), .bytes(values[place].bytes ?? [])])
                continue
            }
            parts[number] = part
        }
        return parts
    }

    private static func json(_ part: UsersPart) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(part))
    }

    private func strange(_ what: String) -> RedisError {
        RedisError(.protocol("a script of the job store gave \(what)"), address: "\(connection.address)")
    }
}

extension Array {
    func chunked(_ size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}
