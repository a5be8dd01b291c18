import Foundation
import Testing

@testable import Host

@Suite struct InputFileTests {
    /// In the system's words, which Foundation keeps to itself.
    @Test(arguments: [("/nowhere/verdict.json", "No such file or directory"), ("/tmp", "Is a directory")])
    func whatCannotBeReadIsNamedWithTheReason(path: String, reason: String) throws {
        let error = #expect(throws: UsageError.self) { _ = try InputFile.read(path) }
        #expect(error?.description == "\(path) cannot be read: \(reason)")
    }

    @Test func noMoreIsReadThanIsWanted() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "input-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("0123456789".utf8).write(to: file)
        #expect(try InputFile.read(file.path) == Data("0123456789".utf8))
        #expect(try InputFile.read(file.path, limit: 4) == Data("0123".utf8))
    }
}
