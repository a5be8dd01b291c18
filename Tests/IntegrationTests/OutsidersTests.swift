import Foundation
import Testing

/// What people outside of this repository rely on: the examples, the page that says how to write a detector, the README.
@Suite(.serialized) struct OutsidersTests {
    @Test func theExamplesBuildAndPassVerification() throws { try run("examples") }

    @Test func thePageForAuthorsIsTrue() throws { try run("run-page", "docs/writing-a-detector.md") }

    @Test func theReadmesCommandsWork() throws { try run("run-page", "README.md") }

    private func run(_ script: String, _ arguments: String...) throws {
        let process = Process()
        process.executableURL = ServiceProcess.root.appending(path: "scripts/\(script)")
        process.currentDirectoryURL = ServiceProcess.root
        process.arguments = arguments + [try ServiceProcess.buildFolder.path]
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("ML_SERVICE_") }
        let log = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: log) }
        try Data().write(to: log)
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        process.waitUntilExit()
        let text = try String(contentsOf: log, encoding: .utf8)
        #expect(process.terminationStatus == 0, "\(text.suffix(4_000))")
    }
}
