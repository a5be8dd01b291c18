import Foundation
import Glibc
import Synchronization
import Testing

@testable import ObjectStore

@Suite("Objects in a directory")
final class DirectoryObjectStoreTests {
    private let root = NSTemporaryDirectory() + "store-\(UUID().uuidString)"
    private let store: DirectoryObjectStore

    init() { store = DirectoryObjectStore(root: root + "/inner") }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test("one of many racing writers of a new object wins, the others are told so")
    func absentRace() {
        for round in 0..<20 {
            let wins = Mutex(0)
            DispatchQueue.concurrentPerform(iterations: 8) { [root] writer in
                // A store of its own, as another process would have.
                let store = DirectoryObjectStore(root: root + "/inner")
                do throws(ObjectStoreError) {
                    try store.put("race/\(round)/v1.model", [UInt8(writer)], if: .absent)
                    wins.withLock { $0 += 1 }
                } catch {
                    #expect(error == .preconditionFailed(key: "race/\(round)/v1.model"))
                }
            }
            #expect(wins.withLock { $0 } == 1)
        }
    }

    @Test("a file of any size and any date is an answer, not an end")
    func anySizeAndDate() throws {
        try store.put("a", bytes("x"), if: .always)
        let path = root + "/inner/a"
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 3 << 30)
        try file.close()
        #expect(throws: ObjectStoreError.tooLarge(key: "a", sizeBytes: 3 << 30, maximumSize: 1_000)) {
            try store.get("a", maximumSize: 1_000)
        }
        #expect(throws: ObjectStoreError.self) { try store.get("a") }
        // Nanoseconds of the year 9999 are more than a number holds.
        var times = [
            timeval(tv_sec: 253_402_300_799, tv_usec: 0), timeval(tv_sec: 253_402_300_799, tv_usec: 0),
        ]
        #expect(utimes(path, &times) == 0)
        #expect(try store.head("a")?.sizeBytes == 3 << 30)
        times = [timeval(tv_sec: -9_000_000_000, tv_usec: 0), timeval(tv_sec: -9_000_000_000, tv_usec: 0)]
        #expect(utimes(path, &times) == 0)
        #expect(try store.list(prefix: "", after: nil, limit: 9).map(\.key) == ["a"])
    }

    @Test("counting by read, add, write-if-unchanged loses nothing between many threads")
    func unchangedRace() throws {
        try store.put("counter", bytes("0"), if: .absent)
        let failures = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { [root] _ in
            let store = DirectoryObjectStore(root: root + "/inner")
            for _ in 0..<25 {
                while true {
                    guard let old = try? store.get("counter"),
                        let number = Int(String(decoding: old.bytes, as: UTF8.self))
                    else {
                        failures.withLock { $0 += 1 }
                        break
                    }
                    // Always as long as before, so that the size never tells versions apart.
                    let new = String(repeating: "0", count: 8 - "\(number + 1)".count) + "\(number + 1)"
                    if (try? store.put("counter", Array(new.utf8), if: .unchanged(old.tag))) != nil { break }
                }
            }
        }
        #expect(failures.withLock { $0 } == 0)
        #expect(try store.get("counter")?.bytes == bytes("00000200"))
    }

    @Test("writers and deleters of neighbours do not take each other's folders away")
    func folderRace() {
        let failures = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 6) { [store] writer in
            for _ in 0..<60 {
                do throws(ObjectStoreError) {
                    try store.put("deep/er/\(writer)", [1], if: .always)
                    try store.delete("deep/er/\(writer)")
                } catch {
                    failures.withLock { $0.append(error.description) }
                }
            }
        }
        #expect(failures.withLock { $0 } == [])
        #expect((try? store.listAll(prefix: "")) == [])
    }

    @Test("what a crash leaves behind, and what is not ours, is in no list")
    func leftovers() throws {
        try store.put("models/global/v1.model", [1], if: .absent)
        let folder = root + "/inner/models/global"
        for name in [".objectstore-1f.tmp", ".objectstore-zz"] {
            try Data([1, 2]).write(to: URL(filePath: "\(folder)/\(name)"))
        }
        mkfifo(folder + "/pipe", 0o600)
        symlink(folder + "/nowhere", folder + "/broken")
        symlink(folder, folder + "/circle")
        let keys = try store.listAll(prefix: "").map(\.key)
        #expect(Set(keys.filter { !$0.contains("circle") }) == ["models/global/v1.model"])
        #expect(try store.get("models/global/pipe") == nil)
        #expect(try store.head("models/global/broken") == nil)
    }

    @Test("a key cannot name anything outside the directory, nor the store's own files")
    func hostileKeys() throws {
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try Data([1]).write(to: URL(filePath: root + "/secret"))
        for key in [
            "../secret", "a/../../secret", "/etc/passwd", "..", "a\0b", ".objectstore/1.lock",
            "a/.objectstore-1.tmp",
        ] {
            let refusal = ObjectStoreError.invalidKey(key)
            #expect(throws: refusal) { try store.get(key) }
            #expect(throws: refusal) { try store.get(key, range: 0..<1) }
            #expect(throws: refusal) { try store.head(key) }
            #expect(throws: refusal) { try store.put(key, [], if: .always) }
            #expect(throws: refusal) { try store.delete(key) }
        }
        for prefix in ["../", "../se", "/etc/", "a/../../"] {
            #expect(throws: ObjectStoreError.invalidKey(prefix)) { try store.listAll(prefix: prefix) }
        }
        #expect(FileManager.default.fileExists(atPath: root + "/secret"))
    }

    @Test(
        "segments longer than a file's name may be are objects like others",
        arguments: [254, 255, 256, 400, 401, 768, 900])
    func longSegments(size: Int) throws {
        let escapes = String(String(repeating: "%F0%9F%98%80", count: 80).prefix(size))
        let emoji = String(repeating: "é", count: size / 2) + (size % 2 == 1 ? "x" : "")
        // One whose last part looks like a name of the store's own.
        let tricky = String(
            (String(repeating: "y", count: 200) + ".objectstore-1.tmp" + escapes).prefix(max(size, 230)))
        for segment in [escapes, emoji, tricky] {
            let key = "users/3f/\(segment)/v1.model"
            try store.put(key, [7], if: .absent)
            #expect(try store.get(key)?.bytes == [7])
            #expect(try store.list(prefix: "users/3f/\(segment)/", after: nil, limit: 9).map(\.key) == [key])
            #expect(
                try store.list(prefix: "users/3f/\(segment.prefix(size - 1))", after: nil, limit: 9).map(
                    \.key) == [key])
        }
        #expect(try store.listAll(prefix: "").count == 3)
        for object in try store.listAll(prefix: "") { try store.delete(object.key) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/inner") == [".objectstore"])
    }

    @Test(
        "lists come in the order of bytes, page by page, whatever the keys", arguments: [1 as UInt64, 2, 3])
    func listOrder(seed: UInt64) throws {
        var generator = SeededNumbers(seed: seed)
        let parts = [
            "a", "a-b", "a.b", "ab", "A", "a b", "~", "é", "a%2F", String(repeating: "a", count: 300),
        ]
        var keys: Set<String> = []
        while keys.count < 60 {
            let depth = Int.random(in: 0...2, using: &generator)
            let folders = (0..<depth).map { _ in parts.randomElement(using: &generator) ?? "" }
            keys.insert((folders + ["f\(Int.random(in: 0...9, using: &generator))"]).joined(separator: "/"))
        }
        for key in keys { try store.put(key, bytes(key), if: .absent) }
        let expected = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(try store.listAll(prefix: "").map(\.key) == expected)
        for pageSize in [1, 7, 59, 60, 61] {
            var found: [String] = []
            while true {
                let page = try store.list(prefix: "", after: found.last, limit: pageSize)
                #expect(page.count <= pageSize)
                guard !page.isEmpty else { break }
                found += page.map(\.key)
            }
            #expect(found == expected)
        }
        for prefix in ["a", "a/", "a-", "a/a", "é", "nothing", "a/f"] {
            #expect(
                try store.listAll(prefix: prefix).map(\.key)
                    == expected.filter { $0.utf8.starts(with: prefix.utf8) })
        }
        for after in ["a", "a/", "a.", "a/zzz", "zzzz", "0"] {
            #expect(
                try store.list(prefix: "", after: after, limit: 999).map(\.key)
                    == expected.filter { after.utf8.lexicographicallyPrecedes($0.utf8) })
        }
    }

    @Test("an object cannot be where others have their folder, nor below another object")
    func objectsAndFolders() throws {
        try store.put("a/b", [1], if: .always)
        #expect(throws: ObjectStoreError.self) { try store.put("a", [1], if: .always) }
        #expect(throws: ObjectStoreError.self) { try store.put("a", [1], if: .absent) }
        #expect(throws: ObjectStoreError.self) { try store.put("a/b/c", [1], if: .always) }
        #expect(try store.get("a") == nil)
        #expect(try store.get("a/b/c") == nil)
        try store.delete("a")
        try store.delete("a/b/c")
        #expect(try store.listAll(prefix: "").map(\.key) == ["a/b"])
        // Once the folder holds nothing, its name is free again.
        try store.delete("a/b")
        try store.put("a", [2], if: .absent)
        #expect(try store.get("a")?.bytes == [2])
    }

    @Test("a folder that somebody left empty is in nobody's way")
    func emptyFolders() throws {
        try store.put("x", [1], if: .always)
        mkdir(root + "/inner/a", 0o700)
        try store.put("a", [2], if: .absent)
        mkdir(root + "/inner/b", 0o700)
        try store.put("b", [3], if: .always)
        #expect(try store.listAll(prefix: "").map(\.key) == ["a", "b", "x"])
    }

    @Test("a tag changes with every write, even of the same bytes, and is the same from every call")
    func tags() throws {
        var tags: Set<VersionTag> = []
        for _ in 0..<200 {
            let tag = try store.put("k", bytes("same"), if: .always)
            #expect(try store.head("k")?.tag == tag && store.get("k")?.tag == tag)
            tags.insert(tag)
        }
        #expect(tags.count == 200)
        #expect(try store.list(prefix: "k", after: nil, limit: 1).first?.tag == store.head("k")?.tag)
    }

    @Test("a directory that is not there is empty; nothing is made by reading")
    func noDirectory() throws {
        #expect(try store.get("a") == nil && store.head("a") == nil && store.listAll(prefix: "").isEmpty)
        try store.delete("a")
        #expect(throws: ObjectStoreError.notFound(key: "a")) { try store.get("a", range: 0..<1) }
        #expect(!FileManager.default.fileExists(atPath: root))
    }

    @Test("a root that cannot be written to says so")
    func noPermission() throws {
        let store = DirectoryObjectStore(root: "/proc/nothing")
        let error = #expect(throws: ObjectStoreError.self) { try store.put("a", [], if: .always) }
        #expect(error?.description.contains("/proc/nothing") == true)
    }
}

/// Seeded, so that a failure comes back.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
