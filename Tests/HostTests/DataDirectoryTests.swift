import Foundation
import Testing

@testable import Host

@Suite struct DataDirectoryTests {
    /// However it is written; `.` and one letter once ended the process.
    @Test(arguments: ["d", "d/", "a/b", "a//b//", "é", ".", "./", "..", "~"])
    func anyPathIsMadeAndLocked(_ path: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        let inside = folder.path + "/x/" + path
        if path.hasPrefix(".") {
            try FileManager.default.createDirectory(atPath: inside, withIntermediateDirectories: true)
        }
        let data = try DataDirectory(inside)
        #expect(FileManager.default.fileExists(atPath: data.file("lock")))
    }

    /// Seen from where the process is.
    @Test(arguments: [".", "./", "..", "/", "d", "d/", "é", "~"])
    func theFolderOfARelativePathIsFound(_ path: String) throws {
        #expect(throws: Never.self) { try DataDirectory.makeParent(of: path) }
    }
}
