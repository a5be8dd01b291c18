import DetectorAPI
import Foundation
import Testing

@testable import Plugins

/// Plugins in C that the tests compile: `Fixtures/fixture.c`, whole or with a fault.
enum CompiledFixture {
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent()
    private static let root = tests.deletingLastPathComponent().deletingLastPathComponent()
    static let headers = root.appending(path: "Sources/DetectorAPI/Sources/CDetectorPlugin/include").path
    static let source = tests.appending(path: "Fixtures/fixture.c").path
    static let halfSpaceTrees = root.appending(path: "examples/half-space-trees/half_space_trees.c").path

    /// Compiles into the folder.
    ///
    /// - Returns: The library's path.
    @discardableResult
    static func compile(
        _ fault: String = "NONE", version: String = "1.0.0", source: String = source, into folder: Folder,
        name: String = "libfixture.so"
    ) throws -> String {
        let path = "\(folder.path)/\(name)"
        let compiler = Process()
        compiler.executableURL = URL(filePath: "/usr/bin/env")
        compiler.arguments = [
            "cc", "-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
            "-fvisibility=hidden", "-ffp-contract=off", "-I", headers, "-DFAULT=\(fault)",
            "-DVERSION=\"\(version)\"", source, "-o", path, "-lm",
        ]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0, "cc failed on \(source)")
        return path
    }

    /// The detector of a library that is loaded without more ado.
    static func detector(_ fault: String = "NONE") throws -> any Detector {
        let folder = try Folder()
        let path = try compile(fault, into: folder)
        return try PluginLibrary.open(path, name: path, stamp: try PluginFile(path: path).checkedStamp())
    }
}
