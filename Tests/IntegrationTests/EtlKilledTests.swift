import Foundation
import ObjectStore
import Testing

/// `etl` that was killed at some point and is run again leaves the lake that one undisturbed run leaves.
@Suite struct EtlKilledTests {
    private static let days = 60
    private static let rows = 400

    private func write(to folder: URL) throws {
        let raw = folder.appending(path: "raw")
        try FileManager.default.createDirectory(at: raw, withIntermediateDirectories: true)
        for half in 0..<2 {
            var text = "transaction_id,user_id,amount,timestamp,is_fraud\n"
            for day in 0..<Self.days {
                for row in 0..<Self.rows / 2 {
                    // One in fifty comes in both files, one in a hundred is no transaction.
                    let id = row % 50 == 0 ? "both-\(day)-\(row)" : "\(half)-\(day)-\(row)"
                    let amount = row % 100 == 7 ? "much" : "\(row).25"
                    let time = 1_767_225_600 + day * 86_400 + row * 60
                    text += "\(id),user-\((row &* 7 &+ day) % 41),\(amount),\(time),\(row % 97 == 0)\n"
                }
            }
            try Data(text.utf8).write(to: raw.appending(path: "half-\(half).csv"))
        }
    }

    private func contents(_ lake: URL) throws -> [String: [UInt8]] {
        let store = DirectoryObjectStore(root: lake.path)
        return try store.listAll(prefix: "").reduce(into: [:]) { $0[$1.key] = try store.get($1.key)?.bytes }
    }

    /// Starts `etl` and kills it as soon as the lake has so many days' files.
    private func killed(raw: URL, lake: URL, atFiles count: Int) throws {
        let process = Process()
        process.executableURL = ServiceProcess.executable
        process.arguments = ["etl", "--raw", raw.path, "--lake", lake.path]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        let store = DirectoryObjectStore(root: lake.path)
        while process.isRunning, try store.listAll(prefix: "processed/").count < count { usleep(500) }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try #require(process.terminationReason == .uncaughtSignal, "it had ended before it was killed")
    }

    @Test func whereverItIsKilledTheNextRunLeavesTheSameBytes() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "etl-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try write(to: folder)
        func run(_ lake: URL) throws {
            try ServiceProcess.run(["etl", "--raw", folder.path, "--lake", lake.path])
        }
        let undisturbed = folder.appending(path: "undisturbed")
        try run(undisturbed)
        let expected = try contents(undisturbed)
        let files = expected.keys.count { $0.hasPrefix("processed/") }
        #expect(files == 2 * Self.days)
        #expect(expected.keys.contains { $0.hasPrefix("rejected/") })
        for count in [0, 1, files / 3, files - 20] {
            let lake = folder.appending(path: "killed-\(count)")
            try killed(raw: folder, lake: lake, atFiles: count)
            try run(lake)
            #expect(try contents(lake) == expected, "killed at \(count) files")
        }
        // Twice in a row, in the same lake.
        let lake = folder.appending(path: "twice")
        for count in [10, files / 2] { try killed(raw: folder, lake: lake, atFiles: count) }
        try run(lake)
        #expect(try contents(lake) == expected)
    }
}
