import DetectorAPI
import Foundation
import Testing

@testable import Models

/// The cache is a cache: it keeps within its size, survives its process, and is begun anew when it is damaged.
@Suite struct CacheTests {
    @Test func theLeastRecentlyUsedGoFirst() throws {
        let world = try World()
        let cache = try world.process(disk: 1_000).cache
        let bytes = ArtifactBytes(copying: [UInt8](repeating: 1, count: 300))
        for index in 0..<10 { try cache.store(bytes, .user("u\(index)"), version: 1) }
        #expect(try cache.sizeBytes() <= 1_000)
        #expect(try cache.artifact(.user("u9"), version: 1)?.bytes.count == 300)
        #expect(try cache.artifact(.user("u0"), version: 1) == nil)
    }

    @Test func whatWasKeptIsThereAfterARestart() throws {
        let world = try World()
        do {
            let cache = try world.process().cache
            try cache.store(ArtifactBytes(copying: [1, 2, 3]), .global, version: 4)
            try cache.replaceActiveVersions([.global: 4, .user("g"): 2])
        }
        let cache = try world.process().cache
        #expect(try cache.activeVersions() == [.global: 4, .user("g"): 2])
        #expect(try cache.artifact(.global, version: 4).map { Array($0.bytes) } == [1, 2, 3])
    }

    @Test func aDamagedFileIsMovedAside() throws {
        let world = try World()
        let path = world.folder.appending(path: "a.sqlite")
        try Data(repeating: 7, count: 20_000).write(to: path)
        let cache = try world.process().cache
        #expect(try cache.activeVersions().isEmpty)
        #expect(FileManager.default.fileExists(atPath: path.path + ".damaged"))
    }
}
