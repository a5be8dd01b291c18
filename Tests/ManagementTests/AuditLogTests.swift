import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import Management

/// What was changed by whom stays known, and whoever tampers with it is found out.
@Suite struct AuditLogTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let path = FileManager.default.temporaryDirectory.appending(path: "ml-audit-\(UUID().uuidString)")
        .path

    private func entry(_ action: String) -> AuditLog.Entry {
        AuditLog.Entry(
            actor: "risk \"desk\"", address: "::1", action: action, detail: ["to": "v3"], status: 200)
    }

    private func write(_ count: Int) throws -> [String] {
        let log = try AuditLog(path: path, logger: logger, now: { 1_767_225_600_000 })
        for number in 0..<count { log.note(entry("a\(number)")) }
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test func theChainGoesOnOverRestarts() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = try write(2)
        let lines = try write(3)
        #expect(lines.count == 5)
        let found = try AuditLog.verify(path, expecting: String(lines[1].suffix(66).prefix(64)))
        #expect(found.entries == 5 && found.hash == String(lines[4].suffix(66).prefix(64)))
        #expect(lines[4].hasPrefix("{\"action\":\"a2\",\"actor\":\"risk \\\"desk\\\"\""))
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test(arguments: 0..<8) func whatIsTamperedWithIsFoundOut(how: Int) throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        var lines = try write(5)
        let last = String(lines[4].suffix(66).prefix(64))
        switch how {
        case 0: lines[1] = lines[1].replacing("v3", with: "v4")
        case 1: lines.remove(at: 2)
        case 2: lines.insert(lines[2], at: 2)
        case 3: lines.swapAt(1, 2)
        case 4: lines[0] = "{}"
        case 5: lines[3] = String(lines[3].dropLast(3))
        case 6: lines.removeLast()
        default: lines = Array(lines.dropFirst())
        }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
        #expect(throws: AuditLogError.self) { try AuditLog.verify(path, expecting: last) }
        // A broken chain is not gone on with; a shorter one is, as nothing in it says that it is.
        if how != 6 { #expect(throws: AuditLogError.self) { try AuditLog(path: path, logger: logger) } }
    }

    @Test func hostileFilesAreRefusedAndNeverTrap() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        for text in ["x", "\n\n", "{\"number\":1}\n", String(repeating: "[", count: 100_000), "\u{0}\n"] {
            try Data(text.utf8).write(to: URL(filePath: path))
            if text.allSatisfy(\.isNewline) {
                #expect(try AuditLog.verify(path).entries == 0)
            } else {
                #expect(throws: AuditLogError.self) { try AuditLog.verify(path) }
            }
        }
        #expect(throws: AuditLogError.self) { try AuditLog.verify("/nowhere/audit.log") }
    }

    @Test func changingCallsAndWrongKeysAreWrittenDown() async throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try AuditLog(path: path, logger: logger)
        let api = try await TestAPI(auditLog: log)
        try await blocking {
            let key = "X-Admin-Key: \(TestAPI.key)"
            _ = try api.connect().request("GET", "/v1/models")
            _ = try api.connect().request("POST", "/v1/models/v7/promote?user_id=alice", headers: [key])
            _ = try api.connect().request("DELETE", "/v1/users/alice", headers: [key])
            _ = try api.connect().request("POST", "/v1/models/v7/promote", headers: ["X-Admin-Key: guess"])
            _ = try api.connect().request("POST", "/v1/models/v7/promote")
            // Changes nothing.
            _ = try api.connect().request("POST", "/v1/score", headers: [key], body: "{}")
        }
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        try #require(lines.count == 3)
        #expect(lines[0].contains("\"action\":\"promoteModel\",\"actor\":\"admin\""))
        #expect(lines[0].contains("\"status\":404") && lines[0].contains("\"version\":\"v7\""))
        #expect(lines[1].contains("\"action\":\"eraseUser\""))
        #expect(
            lines[2].contains("\"actor\":\"refused: unauthorized\"") && lines[2].contains("\"status\":401"))
        #expect(!lines.joined().contains("alice") && lines[0].contains("user_sha256"))
        #expect(try AuditLog.verify(path).entries == 3)
    }

    @Test func nothingIsChangedThatCannotBeWrittenDown() async throws {
        let api = try await TestAPI(auditLog: try AuditLog(path: path, logger: logger))
        try FileManager.default.removeItem(atPath: path)
        let answers = try await blocking {
            let key = "X-Admin-Key: \(TestAPI.key)"
            return (
                try api.connect().request("DELETE", "/v1/users/a", headers: [key]),
                try api.connect().request("GET", "/v1/models", headers: [key])
            )
        }
        #expect(answers.0.hasPrefix("HTTP/1.1 503") && answers.0.contains("audit-log-failed"), "\(answers.0)")
        #expect(answers.1.hasPrefix("HTTP/1.1 200"))
    }

    /// A disk that is full takes a part of a line, or none; a later line must still follow on the last whole one.
    @Test(arguments: [0, 40, 10_000]) func aLineThatCouldNotBeWrittenBreaksNothing(taken: Int) throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let isFull = Mutex(false)
        var file = AuditLog.FileCalls()
        file.append = { descriptor, line in
            Glibc.write(descriptor, line, isFull.withLock { $0 } ? min(taken, line.count) : line.count)
        }
        file.sync = { _ in isFull.withLock { !$0 } }
        let log = try AuditLog(path: path, logger: logger, file: file)
        log.note(entry("a"))
        isFull.withLock { $0 = true }
        for _ in 0..<2 { log.note(entry("lost")) }
        #expect(!log.isWritable)
        isFull.withLock { $0 = false }
        #expect(log.isWritable)
        log.note(entry("b"))
        #expect(try AuditLog.verify(path).entries == 2)
        #expect(try !String(contentsOfFile: path, encoding: .utf8).contains("lost"))
    }

    @Test func nothingIsChangedWhereItsEntryMayFindNoRoom() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let free = Mutex(AuditLog.leastFreeBytes - 1)
        var file = AuditLog.FileCalls()
        file.freeBytes = { _ in free.withLock { $0 } }
        let log = try AuditLog(path: path, logger: logger, file: file)
        #expect(!log.isWritable)
        free.withLock { $0 += 1 }
        #expect(log.isWritable)
    }

    /// A machine that lost power in the middle of a line starts again, and the log says what was there.
    @Test(arguments: [1, 30, 66]) func aTornLastLineIsToldOfAndGoneOnWith(missing: Int) throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let lines = try write(3)
        try Data((lines.joined(separator: "\n") + "\n").utf8.dropLast(missing)).write(to: URL(filePath: path))
        #expect {
            try AuditLog.verify(path)
        } throws: {
            "\($0)".contains("cut off")
        }
        _ = try AuditLog(path: path, logger: logger)
        #expect(try AuditLog.verify(path).entries == 3)
        let mended = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(
            mended[2].contains("\"action\":\"mendAuditLog\"") && mended[2].contains("\\\"action\\\":\\\"a2"))
    }

    @Test func twoProcessesDoNotWriteOne() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try AuditLog(path: path, logger: logger)
        #expect(throws: AuditLogError.self) { try AuditLog(path: path, logger: logger) }
        withExtendedLifetime(log) {}
    }

    @Test(arguments: ["1234", String(repeating: "g", count: 64), ""]) func whatIsNoHashIsNoMissingLine(
        text: String
    ) throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = try write(1)
        #expect {
            try AuditLog.verify(path, expecting: text)
        } throws: {
            "\($0)".contains("no hash")
        }
        let last = try #require(try AuditLog.verify(path).hash)
        #expect(try AuditLog.verify(path, expecting: last.uppercased()).entries == 1)
    }

    @Test(arguments: [("demo", false), ("aaaaaaaaaaaaaaaaaaaa", false), ("correct horse battery", true)])
    func weakKeysAreNamed(key: String, isGood: Bool) { #expect((KeyRing.weakness(of: key) == nil) == isGood) }
}
