import ObjectStore
import Testing
import Torture

@testable import Lake

/// A damaged or hostile file is an error that names the file, never a crash, and never silently fewer rows.
///
/// With GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.perturb=165 a use of freed memory crashes at once
/// instead of now and then.
@Suite struct DamagedFileTests {
    private enum Outcome: Equatable {
        case refused
        case read(rows: Int)
    }

    /// Reads everything that a scan can: the Bloom filters, all columns, every conversion.
    private func read(_ bytes: [UInt8], columns: [String], sourceLocation: SourceLocation = #_sourceLocation)
        -> Outcome
    {
        do {
            var settings = ReadSettings()
            settings.memoryBytes = 64 << 20
            let (reader, _) = lake(of: bytes, settings: settings)
            if columns.contains("user_id") {
                try reader.scan(days: oneDay, columns: [], userID: SampleRows.user(77)) { _ in }
            }
            let statistics = try reader.scan(days: oneDay, columns: columns) { batch throws in
                for column in columns {
                    _ = try? batch.texts(column)
                    _ = try? batch.reals(column)
                    _ = try? batch.booleans(column)
                    _ = try? batch.timestamps(column)
                }
            }
            return .read(rows: statistics.rows)
        } catch let error as LakeError {
            #expect("\(error)".contains("part-0.parquet"), sourceLocation: sourceLocation)
            return .refused
        } catch {
            Issue.record("another error: \(error)", sourceLocation: sourceLocation)
            return .refused
        }
    }

    private let columns = SampleRows.columns.map(\.name)

    private func sample() throws -> [UInt8] {
        try SampleRows(users: 100, rowsPerUser: 3, seed: 8).file(rowGroupRows: 150)
    }

    @Test func everyTruncationIsRefused() throws {
        let bytes = try sample()
        for length in stride(from: 0, to: bytes.count, by: 7) {
            try #require(read(Array(bytes[..<length]), columns: columns) == .refused, "cut at \(length)")
        }
        for cut in 1..<64 {
            try #require(read(bytes.dropLast(cut), columns: columns) == .refused)
            try #require(read(Array(bytes.dropFirst(cut)), columns: columns) == .refused)
        }
    }

    @Test func tortureParquetFiles() throws {
        let sound = try sample()
        var files = [(bytes: sound, columns: columns)]
        for name in ["types.parquet", "int96.parquet", "integer_users.parquet"] {
            let bytes = try fixture(name)
            let columns = try ParquetFile(ParquetSource(name: name, bytes: bytes)).columns.map(\.name)
                .filter { $0 != "list" && $0 != "struct" && $0 != "user_id" }
            files.append((bytes, columns))
        }
        try Torture("Parquet files").run(rounds: 2_000) { random in
            let (whole, columns) = Mutation.pick(files, &random)
            var bytes = whole
            if Bool.random(using: &random) {
                bytes = Mutation.apply(to: bytes, &random)
            } else {
                // In the footer, where it hurts most.
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: max(0, bytes.count - 4000)..<bytes.count, using: &random)] ^=
                        UInt8.random(in: 1...255, using: &random)
                }
            }
            return read(bytes, columns: columns) == .refused ? .refused : .accepted
        }
    }

    @Test func aFlippedByteInAPageIsNoticed() throws {
        // Without checksums a changed number would pass for another number.
        let writer = try ParquetWriter(columns: [ParquetColumn("x", .real)])
        try writer.append([.real((0..<1000).map { Double($0) * 0.37 })])
        let sound = try writer.finish()
        var noticed = 0
        for place in 100..<1100 {
            var bytes = sound
            bytes[place] ^= 1
            if read(bytes, columns: ["x"]) == .refused { noticed += 1 }
        }
        #expect(noticed == 1000)
    }

    @Test(arguments: ["", "PAR1", "PAR1PAR1", "PAR1\u{0}\u{0}\u{0}\u{0}PAR1", "user_id,amount\nann,1\n"])
    func whatIsNoParquetFileIsRefused(text: String) {
        #expect(read(Array(text.utf8), columns: ["user_id"]) == .refused)
    }

    @Test func aFooterThatClaimsTheWholeWorldIsRefused() {
        for length: UInt32 in [0, 1, 100, 0x7FFF_FFFF, 0xFFFF_FFFF] {
            let footer = withUnsafeBytes(of: length.littleEndian) { Array($0) }
            let bytes = Array("PAR1".utf8) + Array(repeating: 0xFF, count: 200) + footer + Array("PAR1".utf8)
            #expect(read(bytes, columns: ["user_id"]) == .refused)
        }
    }

    /// A few bytes that stand for much work are refused before it is begun.
    @Test(arguments: [true, false])
    func aFileThatBecomesAThousandTimesItsSizeIsRefused(isText: Bool) throws {
        // Different ones, as equal ones would be written once.
        let texts = (0..<80).map { "\($0)" + String(repeating: "x", count: 1 << 20) }
        let values: ColumnValues =
            isText ? .text(TextColumn(texts)) : .real(Array(repeating: 0, count: 2_000_000))
        let writer = try ParquetWriter(columns: [ParquetColumn("t", isText ? .text : .real)])
        try writer.append([values])
        let bytes = try writer.finish()
        #expect(bytes.count < 32 << 10)
        let (reader, _) = lake(of: bytes)
        #expect { try reader.scan(days: oneDay, columns: ["t"]) { _ in } } throws: { error in
            guard case LakeError.tooLarge(let file, _) = error else { return false }
            return file.hasSuffix("part-0.parquet") && "\(error)".contains("\(bytes.count) bytes")
        }
    }

    /// The footer is a claim of the writer's; what a page becomes stands in its own header.
    @Test func aFileWhoseFooterHidesWhatItsPagesBecomeIsRefused() throws {
        let texts = (0..<80).map { "\($0)" + String(repeating: "x", count: 1 << 20) }
        let writer = try ParquetWriter(columns: [ParquetColumn("t", .text)])
        try writer.append([.text(TextColumn(texts))])
        let (altered, count) = withSmallSizes(
            in: try writer.finish(), instead: (80 << 20)...(81 << 20))
        #expect(count >= 1)
        let (reader, _) = lake(of: altered)
        #expect { try reader.scan(days: oneDay, columns: ["t"]) { _ in } } throws: { error in
            guard case LakeError.tooLarge(let file, _) = error else { return false }
            return file.hasSuffix("part-0.parquet")
                && "\(error)".contains("\(altered.count) bytes would become 80")
        }
    }

    /// The file with 1000 in place of each number of the footer in that range, written as long as it was.
    private func withSmallSizes(in file: [UInt8], instead range: ClosedRange<UInt64>) -> ([UInt8], count: Int)
    {
        var bytes = file
        var count = 0
        let length = bytes.dropLast(4).suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        for start in bytes.count - 8 - length..<bytes.count - 12 {
            // Four bytes of a zigzag varint, low ones first.
            let four = bytes[start..<start + 4]
            guard four.dropLast().allSatisfy({ $0 >= 0x80 }), four.last.map({ $0 < 0x80 }) == true else {
                continue
            }
            let value = four.reversed().reduce(0 as UInt64) { $0 << 7 | UInt64($1 & 0x7F) }
            guard range.contains(value / 2) else { continue }
            bytes.replaceSubrange(start..<start + 4, with: [0xD0, 0x8F, 0x80, 0x00])
            count += 1
        }
        return (bytes, count)
    }

    @Test func aFileThatTakesTooMuchMemoryIsRefused() throws {
        let writer = try ParquetWriter(columns: [ParquetColumn("t", .text)])
        try writer.append([.text(TextColumn([String(repeating: "x", count: 8 << 20)]))])
        var settings = ReadSettings()
        settings.memoryBytes = 4 << 20
        let (reader, _) = lake(of: try writer.finish(), settings: settings)
        #expect { try reader.scan(days: oneDay, columns: ["t"]) { _ in } } throws: { error in
            guard case LakeError.tooLarge = error else { return false }
            return true
        }
    }
}
