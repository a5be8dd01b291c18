/// Why a file is not a library that could be loaded here.
enum ELFError: Error, Hashable, CustomStringConvertible {
    case notELF
    case foreign(String)
    case damaged(String)
    case missingSection(String)

    var description: String {
        switch self {
        case .notELF: "it is not an ELF file"
        case .foreign(let kind): "it is \(kind), not a 64-bit shared library for this kind of machine"
        case .damaged(let what): "it is damaged: \(what)"
        case .missingSection(let name): "it has no section \(name): it is no detector plugin"
        }
    }
}

/// Looks into an ELF file without loading it. The file may hold anything at all: every offset and size in it
/// is checked before use, and a wrong one is an error, never a trap.
///
/// Layout: System V ABI, "Object files", ELF-64, little-endian.
struct ELFFile {
    private static let headerSize = 64
    private static let sectionHeaderSize = 64
    private static let programHeaderSize = 56
    /// SHT_NOBITS: a section without bytes in the file.
    private static let emptyInFile: UInt32 = 8
    /// SHF_COMPRESSED.
    private static let compressed: UInt64 = 0x800

    #if arch(x86_64)
        private static let machine: UInt16 = 62
    #elseif arch(arm64)
        private static let machine: UInt16 = 183
    #endif

    private let file: UnsafeRawBufferPointer
    private let sections: Range<Int>
    private let sectionCount: Int
    private let names: Range<Int>

    /// Checks the header, the table of sections, and that all that the loader would map is there: a segment
    /// beyond the end of the file would end the process that touches it (SIGBUS).
    init(_ file: UnsafeRawBufferPointer) throws(ELFError) {
        self.file = file
        guard file.count >= 4, file.prefix(4).elementsEqual([0x7F, 0x45, 0x4C, 0x46]) else { throw .notELF }
        guard file.count >= Self.headerSize else { throw .damaged("its header is cut off") }
        guard file[4] == 2 else { throw .foreign("a 32-bit file") }
        guard file[5] == 1 else { throw .foreign("a big-endian file") }
        guard Self.load(file, 16, UInt16.self) == 3 else { throw .foreign("no shared library") }
        let machine = Self.load(file, 18, UInt16.self)
        guard machine == Self.machine else { throw .foreign("for another processor (machine \(machine))") }

        let entrySize = Int(Self.load(file, 58, UInt16.self))
        sectionCount = Int(Self.load(file, 60, UInt16.self))
        let namesIndex = Int(Self.load(file, 62, UInt16.self))
        guard entrySize == Self.sectionHeaderSize, sectionCount > 0, namesIndex < sectionCount else {
            throw .damaged("it has no table of sections")
        }
        sections = try Self.range(
            of: file, offset: Self.load(file, 40, UInt64.self), size: UInt64(entrySize * sectionCount),
            "the table of sections")
        names = try Self.bytesOfSection(namesIndex, in: sections, of: file)
        guard !names.overlaps(sections) else { throw .damaged("its names overlap its table of sections") }
        try checkSegments()
    }

    /// The bytes of the only section with this name.
    func section(_ name: String) throws(ELFError) -> UnsafeRawBufferPointer {
        var found: Range<Int>?
        for index in 0..<sectionCount {
            let start = sections.lowerBound + index * Self.sectionHeaderSize
            let nameOffset = Int(Self.load(file, start, UInt32.self))
            guard nameOffset < names.count, isName(name, at: names.lowerBound + nameOffset) else { continue }
            guard found == nil else { throw .damaged("it has two sections \(name)") }
            found = try Self.bytesOfSection(index, in: sections, of: file)
        }
        guard let found else { throw .missingSection(name) }
        for other in [0..<Self.headerSize, sections, names] where other.overlaps(found) {
            throw .damaged("its section \(name) overlaps the file's own tables")
        }
        return UnsafeRawBufferPointer(rebasing: file[found])
    }

    private func checkSegments() throws(ELFError) {
        let entrySize = Int(Self.load(file, 54, UInt16.self))
        let count = Int(Self.load(file, 56, UInt16.self))
        guard entrySize == Self.programHeaderSize, count > 0 else { throw .damaged("it has no segments") }
        let table = try Self.range(
            of: file, offset: Self.load(file, 32, UInt64.self), size: UInt64(entrySize * count),
            "the table of segments")
        var loads = 0
        for index in 0..<count {
            let start = table.lowerBound + index * entrySize
            let size = Self.load(file, start + 32, UInt64.self)
            _ = try Self.range(
                of: file, offset: Self.load(file, start + 8, UInt64.self), size: size, "segment \(index)")
            guard Self.load(file, start, UInt32.self) == 1 else { continue }
            loads += 1
            guard Self.load(file, start + 40, UInt64.self) >= size else {
                throw .damaged("segment \(index) is larger in the file than in memory")
            }
        }
        guard loads > 0 else { throw .damaged("it has nothing to load") }
    }

    private static func bytesOfSection(_ index: Int, in table: Range<Int>, of file: UnsafeRawBufferPointer)
        throws(ELFError) -> Range<Int>
    {
        let start = table.lowerBound + index * sectionHeaderSize
        guard load(file, start + 4, UInt32.self) != emptyInFile else {
            throw .damaged("section \(index) has no bytes in the file")
        }
        guard load(file, start + 8, UInt64.self) & compressed == 0 else {
            throw .damaged("section \(index) is compressed")
        }
        return try range(
            of: file, offset: load(file, start + 24, UInt64.self), size: load(file, start + 32, UInt64.self),
            "section \(index)")
    }

    private static func range(
        of file: UnsafeRawBufferPointer, offset: UInt64, size: UInt64, _ what: String
    ) throws(ELFError) -> Range<Int> {
        let (end, overflows) = offset.addingReportingOverflow(size)
        guard !overflows, end <= UInt64(file.count) else { throw .damaged("\(what) lies outside the file") }
        return Int(offset)..<Int(end)
    }

    private func isName(_ name: String, at offset: Int) -> Bool {
        let rest = file[offset..<names.upperBound]
        return rest.prefix(name.utf8.count).elementsEqual(name.utf8)
            && rest.dropFirst(name.utf8.count).first == 0
    }

    private static func load<T: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _: T.Type
    ) -> T {
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
