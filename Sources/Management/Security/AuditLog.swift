import Crypto
import Foundation
import Glibc
import Logging
import Metrics
import Synchronization

/// What was changed over HTTP, by whom, and what came of it; and who came with a key that is none. Thread-safe.
///
/// A file of JSON lines that is only ever appended to. Each line ends with the SHA-256 of the hash before it and of the
/// line itself, so that a line that is changed, taken out or put in is found (`ml-service audit-log verify`). Lines cut off
/// at the end are not found by that alone: keep the last hash elsewhere, the log tells it.
///
///     {"number":2,"time_ms":1767225600000,"actor":"risk desk","address":"10.0.0.7","action":"promoteModel",
///      "detail":{"version":"v3"},"status":200,"previous":"9f86...","hash":"60c1..."}
///
/// Of users there is a hash, so that the log need not change when one is erased.
public final class AuditLog: Sendable {
    public struct Verification: Sendable {
        public let entries: Int
        /// Of the last line; nil: there is none.
        public let hash: String?
    }

    private struct State {
        var descriptor: CInt
        /// Of the lines that are whole.
        var sizeBytes: Int
        var number: Int
        var hash: String
        var isFailing = false
    }

    /// What the log asks of its file. Tests let it fail.
    struct FileCalls: Sendable {
        /// - Returns: How many bytes were taken, as `write(2)` does.
        var append: @Sendable (CInt, [UInt8]) -> Int = { write($0, $1, $1.count) }
        var sync: @Sendable (CInt) -> Bool = { fsync($0) == 0 }
        /// On the file's disk; nil: not known.
        var freeBytes: @Sendable (CInt) -> Int? = { descriptor in
            var disk = statvfs()
            guard fstatvfs(descriptor, &disk) == 0 else { return nil }
            let (bytes, isTooMany) = Int(clamping: disk.f_bavail).multipliedReportingOverflow(
                by: Int(clamping: disk.f_frsize))
            return isTooMany ? nil : bytes
        }
    }

    /// With less nothing is changed any more: what is under way must still find room for its entry.
    static let leastFreeBytes = 1 << 20

    /// What the first line follows on.
    static let origin = String(repeating: "0", count: 64)

    private let state: Mutex<State>
    private let path: String
    private let logger: Logger
    private let now: @Sendable () -> Int64
    private let file: FileCalls
    private let failures = Counter(label: "ml_audit_log_failures_total")

    /// Opens the file, or makes it, and goes on behind its last line. A last line that was not written to its end, by a
    /// machine that lost power say, becomes part of an entry that says so.
    ///
    /// - Throws: `AuditLogError` when the file cannot be opened, another process writes it, or its chain is broken: nothing
    ///   is appended to that.
    public convenience init(
        path: String, logger: Logger,
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) throws {
        try self.init(path: path, logger: logger, now: now, file: FileCalls())
    }

    init(
        path: String, logger: Logger, now: @escaping @Sendable () -> Int64 = { 0 }, file: FileCalls
    ) throws {
        let data = FileManager.default.fileExists(atPath: path) ? try Self.content(path) : Data()
        let whole =
            data.lastIndex(of: UInt8(ascii: "\n")).map { data.distance(from: data.startIndex, to: $0) + 1 }
            ?? 0
        let known = try Self.follow(data.prefix(whole), path)
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw AuditLogError(path, "it cannot be opened: \(Self.reason)") }
        // Two that append would each break the other's chain.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw AuditLogError(path, "another process writes it")
        }
        state = Mutex(
            State(
                descriptor: descriptor, sizeBytes: whole, number: known.entries,
                hash: known.hash ?? Self.origin))
        self.path = path
        self.logger = logger
        self.now = now
        self.file = file
        if whole < data.count { try mend(cutOff: data.suffix(data.count - whole)) }
    }

    private func mend(cutOff rest: Data) throws {
        let isCut = state.withLock { ftruncate($0.descriptor, off_t($0.sizeBytes)) == 0 }
        guard isCut else { throw AuditLogError(path, "its last line cannot be taken out: \(Self.reason)") }
        logger.error(
            "the audit log's last line was not written to its end; an entry says so",
            metadata: ["path": "\(path)", "bytes": "\(rest.count)"])
        note(
            Entry(
                actor: "ml-service", address: "local", action: "mendAuditLog",
                detail: ["cut_off": String(decoding: rest.prefix(4_096), as: UTF8.self)], status: 0))
    }

    deinit { _ = state.withLock { close($0.descriptor) } }

    private static var reason: String { String(cString: strerror(errno)) }

    // MARK: Writing

    struct Entry: Encodable {
        var number = 0
        var timeMs: Int64 = 0
        let actor: String
        let address: String
        let action: String
        let detail: [String: String]
        let status: Int
        var previous = ""
    }

    /// Whether an entry could be written now. Who changes something asks first.
    var isWritable: Bool {
        state.withLock { state in
            var information = stat()
            // Not of a file that somebody has removed: nobody would ever read it.
            guard fstat(state.descriptor, &information) == 0, information.st_nlink > 0 else {
                fail(&state, "the file has been removed")
                return false
            }
            if let free = file.freeBytes(state.descriptor), free < Self.leastFreeBytes {
                fail(&state, "its disk is full")
                return false
            }
            if state.isFailing, takeBack(state), file.sync(state.descriptor) { state.isFailing = false }
            return !state.isFailing
        }
    }

    /// Appends an entry, and waits until it is on the disk.
    func note(_ entry: Entry) {
        state.withLock { state in
            var entry = entry
            entry.number = state.number + 1
            entry.timeMs = now()
            entry.previous = state.hash
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            guard let body = try? encoder.encode(entry) else { return fail(&state, "it cannot be encoded") }
            let hash = Self.hash(previous: state.hash, body: body)
            // The body is an object: its closing brace makes room for the hash.
            let line = Array(body.dropLast()) + Array(",\"hash\":\"\(hash)\"}\n".utf8)
            guard !state.isFailing || takeBack(state) else { return fail(&state, Self.reason) }
            guard file.append(state.descriptor, line) == line.count, file.sync(state.descriptor) else {
                let reason = Self.reason
                _ = takeBack(state)
                return fail(&state, reason)
            }
            state.sizeBytes += line.count
            state.number = entry.number
            state.hash = hash
        }
    }

    /// Takes out what is there of a line that could not be written: the next one would not follow on it.
    private func takeBack(_ state: State) -> Bool { ftruncate(state.descriptor, off_t(state.sizeBytes)) == 0 }

    private func fail(_ state: inout State, _ reason: String) {
        failures.increment()
        if !state.isFailing {
            logger.error(
                "the audit log cannot be written: changing calls are refused until it can",
                metadata: ["path": "\(path)", "reason": "\(reason)"])
        }
        state.isFailing = true
    }

    private static func hash(previous: String, body: Data) -> String {
        var hasher = SHA256()
        hasher.update(data: Data(previous.utf8))
        hasher.update(data: body)
        return hex(hasher.finalize())
    }

    private static func hex(_ digest: some Sequence<UInt8>) -> String {
        digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// How the log calls a user.
    static func hash(ofUser userID: String) -> String { hex(SHA256.hash(data: Data(userID.utf8)).prefix(12)) }

    // MARK: Verifying

    /// Follows the chain from the first line to the last.
    ///
    /// - Parameter expected: A hash that was told before, and must be in the chain; nil: none.
    /// - Throws: `AuditLogError` naming the first line that does not follow on the one before it.
    public static func verify(_ path: String, expecting expected: String? = nil) throws -> Verification {
        if let expected, expected.count != 64 || !expected.allSatisfy(\.isHexDigit) {
            throw AuditLogError(path, "'\(expected)' is no hash: it has 64 hexadecimal digits")
        }
        let data = try content(path)
        guard data.isEmpty || data.last == UInt8(ascii: "\n") else {
            throw AuditLogError(path, "its last line does not end: it was cut off")
        }
        return try follow(data, path, expecting: expected?.lowercased())
    }

    private static func content(_ path: String) throws -> Data {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        guard attributes?[.type] as? FileAttributeType == .typeRegular,
            let data = FileManager.default.contents(atPath: path)
        else { throw AuditLogError(path, "there is no such file, or it may not be read") }
        return data
    }

    private static func follow(
        _ data: Data, _ path: String, expecting expected: String? = nil
    ) throws -> Verification {
        var (previous, count) = (origin, 0)
        var isFound = expected == nil
        for line in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        where !line.isEmpty {
            count += 1
            previous = try follow(line, number: count, previous, path)
            if previous == expected { isFound = true }
        }
        guard isFound else {
            throw AuditLogError(path, "the hash \(expected ?? "") is not in it: lines are missing at its end")
        }
        return Verification(entries: count, hash: count == 0 ? nil : previous)
    }

    private static func follow(
        _ line: Data, number: Int, _ previous: String, _ path: String
    ) throws -> String {
        struct Link: Decodable {
            let number: Int
            let previous: String
        }
        // `,"hash":"` and 64 digits and `"}`.
        let tail = 9 + 64 + 2
        guard line.count > tail else { throw AuditLogError(path, "line \(number) is no entry") }
        let body = Data(line.dropLast(tail)) + Data("}".utf8)
        let hash = Self.hash(previous: previous, body: body)
        guard Data(line.suffix(tail)) == Data(",\"hash\":\"\(hash)\"}".utf8) else {
            throw AuditLogError(
                path, "line \(number) is not as it was written, or does not follow the one before it")
        }
        guard let link = try? JSONDecoder().decode(Link.self, from: body), link.number == number,
            link.previous == previous
        else { throw AuditLogError(path, "line \(number) is not the entry of that number") }
        return hash
    }
}

/// An audit log that cannot be used.
public struct AuditLogError: Error, CustomStringConvertible {
    public let description: String

    init(_ path: String, _ reason: String) { description = "the audit log \(path): \(reason)" }
}
