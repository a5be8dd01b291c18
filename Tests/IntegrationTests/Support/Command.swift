import Foundation

/// A command of another program, run to its end.
enum Command {
    /// - Parameters:
    ///   - environment: nil: this process's.
    ///   - input: What the command reads, a file; nil: this process's standard input.
    /// - Returns: Its exit status, and what it wrote.
    static func output(
        _ executable: URL?, _ arguments: [String], environment: [String: String]? = nil, input: URL? = nil
    ) throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        if let environment { process.environment = environment }
        if let input { process.standardInput = try FileHandle(forReadingFrom: input) }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }
}
