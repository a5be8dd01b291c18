import CDetectorPlugin
import DetectorAPI
import Foundation
import Testing

@testable import Plugins

@Suite struct ELFFileTests {
    private func stamp(_ bytes: [UInt8]) throws -> PluginStamp {
        try bytes.withUnsafeBytes { try PluginStamp(of: $0) }
    }

    private func expect(
        _ error: ELFError, after change: (inout Library) throws -> Void,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var library = try Library(Built.baseline)
        try change(&library)
        #expect(throws: error, sourceLocation: sourceLocation) { try stamp(library.bytes) }
    }

    @Test func readsTheStampOfAPlugin() throws {
        let stamp = try stamp(try Built.bytes(Built.baseline))
        #expect(stamp == .host)
        #expect(stamp.differences(from: .host).isEmpty)
    }

    @Test func saysWhatKindOfFileItIsInstead() throws {
        #expect(throws: ELFError.notELF) { try stamp([]) }
        #expect(throws: ELFError.notELF) { try stamp(Array("#!/bin/sh\n".utf8)) }
        try expect(.foreign("a 32-bit file")) { $0.bytes[4] = 1 }
        try expect(.foreign("a big-endian file")) { $0.bytes[5] = 2 }
        try expect(.foreign("no shared library")) { $0.set(16, UInt16(2)) }
        try expect(.foreign("for another processor (machine 8)")) { $0.set(18, UInt16(8)) }
    }

    @Test func refusesOffsetsThatLeadNowhere() throws {
        try expect(.damaged("the table of sections lies outside the file")) { $0.set(40, UInt64.max) }
        try expect(.damaged("the table of sections lies outside the file")) { $0.set(40, UInt64.max - 63) }
        try expect(.damaged("the table of segments lies outside the file")) { $0.set(32, UInt64.max / 2) }
        try expect(.damaged("it has no table of sections")) { $0.set(60, UInt16(0)) }
        try expect(.damaged("it has no table of sections")) { $0.set(62, UInt16.max) }
        try expect(.damaged("it has no table of sections")) { $0.set(58, UInt16(1)) }
        try expect(.damaged("it has no segments")) { $0.set(54, UInt16(0)) }
    }

    @Test func refusesAStampThatIsNotInTheFile() throws {
        var index = 0
        try expect(.damaged("section 1 lies outside the file")) {
            index = (try $0.stampHeader - $0.sectionTable) / 64
            $0.set(try $0.stampHeader + 24, UInt64.max - 100)
            // The sections' order is the linker's choice: name the one that it is.
            $0.moveSection(index, to: 1)
        }
        try expect(.damaged("section 1 has no bytes in the file")) {
            $0.set(try $0.stampHeader + 4, UInt32(8))
            $0.moveSection(index, to: 1)
        }
        try expect(.damaged("section 1 is compressed")) {
            $0.set(try $0.stampHeader + 8, UInt64(0x800))
            $0.moveSection(index, to: 1)
        }
        try expect(.missingSection(DETECTOR_PLUGIN_SECTION)) { $0.set(try $0.stampHeader, UInt32.max) }
    }

    @Test func refusesOverlaps() throws {
        let name = DETECTOR_PLUGIN_SECTION
        try expect(.damaged("its section \(name) overlaps the file's own tables")) {
            $0.set(try $0.stampHeader + 24, UInt64(0))
        }
        try expect(.damaged("its section \(name) overlaps the file's own tables")) {
            $0.set(try $0.stampHeader + 24, UInt64($0.sectionTable))
        }
        try expect(.damaged("its names overlap its table of sections")) {
            let names = $0.sectionHeader(Int($0.number(62, UInt16.self)))
            $0.set(names + 24, UInt64($0.sectionTable))
        }
    }

    @Test func refusesMoreThanOneStamp() throws {
        let size = UInt64(MemoryLayout<detector_plugin_stamp>.size)
        try expect(.damaged("it carries 2 stamps")) { $0.set(try $0.stampHeader + 32, 2 * size) }
        try expect(.damaged("its stamp has 0 bytes")) { $0.set(try $0.stampHeader + 32, UInt64(0)) }
        try expect(.damaged("it has two sections \(DETECTOR_PLUGIN_SECTION)")) {
            // The first section is unused by definition; give it the stamp's header.
            let header = try $0.stampHeader
            $0.bytes.replaceSubrange(
                $0.sectionTable..<$0.sectionTable + 64, with: $0.bytes[header..<header + 64])
        }
    }

    /// What the loader would map and not find ends the process that touches it.
    @Test func refusesSegmentsBeyondTheEnd() throws {
        var library = try Library(Built.baseline)
        let load = try #require(
            (0..<library.segmentCount).map { library.segmentTable + 56 * $0 }
                .last { library.number($0, UInt32.self) == 1 })
        let index = (load - library.segmentTable) / 56
        library.set(load + 32, UInt64(library.bytes.count))
        #expect(throws: ELFError.damaged("segment \(index) lies outside the file")) {
            try stamp(library.bytes)
        }
        try expect(.damaged("segment \(index) is larger in the file than in memory")) {
            $0.set(load + 40, UInt64(1))
        }
    }

    @Test func survivesEveryTruncation() throws {
        let bytes = try Built.bytes(Built.baseline)
        var generator = SeededGenerator(seed: 1)
        let lengths = Array(0..<512) + (0..<2_000).map { _ in generator.below(bytes.count) }
        for length in lengths {
            #expect(throws: ELFError.self, "length \(length)") {
                try bytes.withUnsafeBytes {
                    try PluginStamp(of: UnsafeRawBufferPointer(rebasing: $0[..<length]))
                }
            }
        }
    }

    /// 30,000 changes where they hurt: whatever the file says, reading it ends in a stamp or an error.
    @Test func survivesMutations() throws {
        var library = try Library(Built.baseline)
        let names = Int(
            library.number(library.sectionHeader(Int(library.number(62, UInt16.self))) + 24, UInt64.self))
        let targets = [
            0..<64, library.segmentTable..<library.segmentTable + 56 * library.segmentCount,
            library.sectionTable..<library.sectionTable + 64 * library.sectionCount, names..<names + 400,
            try library.stamp..<library.stamp + 128,
        ]
        let wild: [UInt64] = [0, 1, 0x7F, 0xFF, 0x8000, .max, .max - 1, .max / 2, 1 << 32, 1 << 63, 1 << 40]
        var generator = SeededGenerator(seed: 0xE1F)
        var outcomes: [String: Int] = [:]
        for _ in 0..<30_000 {
            var undo: [(Int, UInt8)] = []
            for _ in 0...generator.below(4) {
                let target = targets[generator.below(targets.count)]
                let width = [1, 2, 4, 8][generator.below(4)]
                let value = generator.below(2) == 0 ? generator.next() : wild[generator.below(wild.count)]
                let start = target.lowerBound + generator.below(target.count - width + 1)
                for byte in 0..<width {
                    undo.append((start + byte, library.bytes[start + byte]))
                    library.bytes[start + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
                }
            }
            do {
                _ = try stamp(library.bytes).differences(from: .host)
                outcomes["read", default: 0] += 1
            } catch let error as ELFError {
                outcomes["refused", default: 0] += error.description.isEmpty ? 0 : 1
            }
            for (offset, byte) in undo.reversed() { library.bytes[offset] = byte }
        }
        #expect(outcomes["read", default: 0] > 1_000)
        #expect(outcomes["refused", default: 0] > 1_000)
    }

    @Test func survivesNoise() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<5_000 {
            var bytes = (0..<generator.below(4_096)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            // Most noise ends at the first check: let it get further.
            let header: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1]
            if bytes.count >= 64 { bytes.replaceSubrange(0..<6, with: header) }
            if bytes.count >= 64 { bytes.replaceSubrange(16..<20, with: [3, 0, 62, 0]) }
            if bytes.count >= 64 { bytes.replaceSubrange(58..<64, with: [64, 0, 3, 0, 1, 0]) }
            if bytes.count >= 64 { bytes.replaceSubrange(42..<48, with: [0, 0, 0, 0, 0, 0]) }
            #expect(throws: ELFError.self) { try stamp(bytes) }
        }
    }
}

extension Library {
    /// Swaps two sections' headers.
    mutating func moveSection(_ index: Int, to other: Int) {
        for byte in 0..<64 { bytes.swapAt(sectionHeader(index) + byte, sectionHeader(other) + byte) }
    }
}
