import Foundation
import Testing

/// The console in Debian's Chromium: logged in, looked at by keyboard, labelled, promoted.
@Suite struct ConsoleTests {
    @Test func anAnalystWorksWithIt() async throws {
        let folder = try TemporaryFolder()
        for name in ["store", "lake"] {
            try FileManager.default.copyItem(
                at: Fixtures.folder.appending(path: name), to: folder.file(name))
        }
        let pictures = ServiceProcess.root.appending(path: ".build/console")
        try FileManager.default.createDirectory(at: pictures, withIntermediateDirectories: true)
        let service = try await ServiceProcess(
            settings: [
                "stream.file": Fixtures.folder.appending(path: "stream.jsonl").path, "stream.rate": "40",
                "store.uri": folder.file("store").path, "lake.uri": folder.file("lake").path,
                "http.publicread": "no", "windows.warm": "never",
            ], folder: folder.url)
        try PythonScript.run(
            "console.py", ["\(service.baseURL)/", ServiceProcess.adminKey, pictures.path])
        #expect(try await service.interrupt() == 0)
    }
}
