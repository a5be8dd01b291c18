/// Reads one section of an ELF file without loading it. Every offset and size in the file is checked: the file may be
/// anything at all.
enum ELFSection {
    enum Failure: Error, Hashable, CustomStringConvertible {
        case notELF
        case wrongKind(String)
        case damaged(String)
        case missing(String)

        var description: String {
            switch self {
            case .notELF: "it is not an ELF file"
            case .wrongKind(let kind):
                "it is \(kind), not a 64-bit little-endian shared library of this machine"
            case .damaged(let what): "it is damaged: \(what)"
            case .missing(let name): "it has no section \(name): it is no detector plugin"
            }
        }
    }

    /// The bytes of the section called `name`.
    ///
    /// Layout: System V ABI, chapter 4, ELF-64 (header 64 bytes, section header 64 bytes).
    static func read(_ name: String, of file: UnsafeRawBufferPointer) throws(Failure)
        -> UnsafeRawBufferPointer
    {
        guard file.count >= 4, file.prefix(4).elementsEqual([0x7F, 0x45, 0x4C, 0x46]) else { throw .notELF }
        guard file.count >= 64 else { throw .damaged("its header is cut off") }
        guard file[4] == 2 else { throw .wrongKind("a 32-bit file") }
        guard file[5] == 1 else { throw .wrongKind("a big-endian file") }
        guard load(file, 16, UInt16.self) == 3 else { throw .wrongKind("no shared library") }
        let tableOffset = load(file, 40, UInt64.self)
        let entrySize = Int(load(file, 58, UInt16.self))
        let count = Int(load(file, 60, UInt16.self))
        let namesIndex = Int(load(file, 62, UInt16.self))
        guard entrySize >= 64, count > 0, namesIndex < count else {
            throw .damaged("it has no table of sections")
        }
        let table = try part(
            file, offset: tableOffset, size: UInt64(entrySize) * UInt64(count), "the table of sections")
        let names = try section(file, table, entrySize, namesIndex)
        for index in 0..<count {
            let start = index * entrySize
            let nameOffset = Int(load(table, start, UInt32.self))
            guard nameOffset < names.count, isName(name, at: nameOffset, in: names) else { continue }
            return try section(file, table, entrySize, index)
        }
        throw .missing(name)
    }

    private static func section(
        _ file: UnsafeRawBufferPointer, _ table: UnsafeRawBufferPointer, _ entrySize: Int, _ index: Int
    ) throws(Failure) -> UnsafeRawBufferPointer {
        let start = index * entrySize
        return try part(
            file, offset: load(table, start + 24, UInt64.self), size: load(table, start + 32, UInt64.self),
            "section \(index)")
    }

    private static func part(
        _ file: UnsafeRawBufferPointer, offset: UInt64, size: UInt64, _ what: String
    ) throws(Failure) -> UnsafeRawBufferPointer {
        let (end, overflows) = offset.addingReportingOverflow(size)
        guard !overflows, end <= UInt64(file.count) else { throw .damaged("\(what) lies outside the file") }
        return UnsafeRawBufferPointer(rebasing: file[Int(offset)..<Int(end)])
    }

    private static func isName(_ name: String, at offset: Int, in names: UnsafeRawBufferPointer) -> Bool {
        let rest = names[offset...]
        return rest.prefix(name.utf8.count).elementsEqual(name.utf8)
            && rest.dropFirst(name.utf8.count).first == 0
    }

    private static func load<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _: T.Type)
        -> T
    {
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
