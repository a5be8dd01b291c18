import Foundation
import Testing

@testable import Training

/// Bytes that wait by key, in memory and beyond it in a file.
@Suite struct SpillFilesTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func spill(keys: Int, budgetBytes: Int) -> SpillFiles {
        SpillFiles(keys: keys, scratch: folder.path, budgetBytes: budgetBytes)
    }

    private func append(_ bytes: [UInt8], to key: Int, of files: SpillFiles) throws {
        let cut = bytes.count / 3
        try bytes.withUnsafeBytes { bytes in
            try files.append(
                UnsafeRawBufferPointer(rebasing: bytes[..<cut]),
                and: UnsafeRawBufferPointer(rebasing: bytes[cut...]), to: key)
        }
    }

    private func taken(_ key: Int, of files: SpillFiles) throws -> [UInt8] {
        try files.takeWhole(key) { count, fill in
            var bytes = [UInt8](repeating: 0, count: count)
            try bytes.withUnsafeMutableBytes(fill)
            return bytes
        }
    }

    /// Records of all sizes, longer ones than a block among them, come back as they were appended to their keys.
    @Test(arguments: [1, 10_000, 1 << 20, 1 << 28])
    func whatIsAppendedComesBackInItsOrder(budgetBytes: Int) throws {
        let files = spill(keys: 3, budgetBytes: budgetBytes)
        #expect(files.addKey() == 3)
        var random = TestRandom(seed: 5)
        var expected = [[UInt8]](repeating: [], count: 4)
        for number in 0..<3_000 {
            let size = number % 500 == 0 ? 100_000 : random.below(200)
            let record = [UInt8](repeating: UInt8(random.below(256)), count: size)
            let key = random.below(4)
            expected[key] += record
            try append(record, to: key, of: files)
        }
        try files.finish()
        #expect(files.hasSpilled || budgetBytes > 1 << 20)
        for key in 0..<4 {
            #expect(files.count(key) == expected[key].count)
            var seen: [UInt8] = []
            try files.visit(key) { seen += $0 }
            #expect(seen == expected[key])
            #expect(try taken(key, of: files) == expected[key])
            #expect(files.isEmpty(key))
            #expect(try taken(key, of: files) == [])
        }
        #expect(files.memoryBytes == 0)
    }

    /// Rows in the order of their keys, as raw files in the order of time give them by day: what a key has once had in memory
    /// does not stay there when it is the turn of the next one.
    @Test func memoryStaysWithinTheBudgetKeyAfterKey() throws {
        let budget = 1 << 20
        let files = spill(keys: 0, budgetBytes: budget)
        let record = [UInt8](repeating: 7, count: 1_000)
        for _ in 0..<20 {
            let key = files.addKey()
            for _ in 0..<2_000 {
                try append(record, to: key, of: files)
                #expect(files.memoryBytes <= budget)
            }
        }
        try files.finish()
        #expect(files.memoryBytes == 0)
        for key in 0..<20 { #expect(files.count(key) == 2_000_000) }
    }

    /// More keys than there are blocks.
    @Test func manyKeysFindRoomInALittleMemory() throws {
        let budget = 64 << 10
        let files = spill(keys: 5_000, budgetBytes: budget)
        for round in 0..<3 {
            for key in 0..<5_000 {
                try append([UInt8(key % 251), UInt8(round)], to: key, of: files)
                #expect(files.memoryBytes <= budget)
            }
        }
        for key in 0..<5_000 {
            let first = UInt8(key % 251)
            #expect(try taken(key, of: files) == [first, 0, first, 1, first, 2])
        }
    }

    /// Records of one size are whole in every piece.
    @Test func noPieceEndsWithinARecord() throws {
        let files = spill(keys: 1, budgetBytes: 20_000)
        for number in 0..<1_000 {
            try append([UInt8](repeating: UInt8(number % 256), count: 200), to: 0, of: files)
        }
        var number = 0
        try files.take(0) { piece in
            #expect(piece.count % 200 == 0)
            for start in stride(from: 0, to: piece.count, by: 200) {
                #expect(piece[start] == UInt8(number % 256) && piece[start + 199] == piece[start])
                number += 1
            }
        }
        #expect(number == 1_000)
    }
}
