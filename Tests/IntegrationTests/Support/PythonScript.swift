import Foundation

/// The scripts beside the tests, run by the Python that `scripts/setup --tests` makes.
enum PythonScript {
    private static var python: URL { ServiceProcess.root.appending(path: ".deps/python/bin/python") }

    private static func script(_ name: String) -> URL {
        ServiceProcess.root.appending(path: "Tests/IntegrationTests/Python/\(name)")
    }

    /// Runs a script to its end.
    static func run(_ name: String, _ arguments: [String]) throws {
        try start(name, [script(name).path] + arguments)
    }

    /// Starts a script that goes on beside the test, which ends it by `end`.
    static func started(_ name: String, _ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = python
        process.arguments = [script(name).path] + arguments
        try process.run()
        return process
    }

    /// At once: the thread that started it may block all other signals, and a child inherits that.
    static func end(_ process: Process) {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Runs a module's own commands to their end.
    static func module(_ name: String, _ arguments: [String]) throws {
        try start(name, ["-m", name] + arguments)
    }

    private static func start(_ name: String, _ arguments: [String]) throws {
        guard FileManager.default.isExecutableFile(atPath: python.path) else {
            throw ServiceFailure("\(python.path) is missing: run scripts/setup --tests")
        }
        let (status, text) = try Command.output(python, ["-W", "ignore"] + arguments)
        guard status == 0 else { throw ServiceFailure("\(name): \(status)\n\(text)") }
    }

    /// Numbers that a script wrote, or is to read.
    static func numbers<Number>(_ file: URL, _: Number.Type) throws -> [Number] {
        let data = try Data(contentsOf: file)
        return data.withUnsafeBytes { Array($0.bindMemory(to: Number.self)) }
    }

    static func write<Number>(_ numbers: [Number], to file: URL) throws {
        try numbers.withUnsafeBytes { try Data($0).write(to: file) }
    }
}

/// A folder that goes when nobody holds this any more.
final class TemporaryFolder: Sendable {
    let url = FileManager.default.temporaryDirectory.appending(path: "ml-service-test-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ name: String) -> URL { url.appending(path: name) }
}
