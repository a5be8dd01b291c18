import Features
import Transactions

/// Users' blobs in memory, close together: an index of 4 bytes a place, an entry of 12 bytes a user, and the bytes
/// themselves in blocks of 512 KiB, in pieces of a multiple of 8 bytes that are used again.
///
/// A dictionary of arrays takes two allocations and some 120 bytes more a user.
///
/// Blobs that were written lately are kept as they are, up to a number of bytes. Those that were written longest ago can
/// be packed (`BlobPacker`), and are unpacked when they are asked for.
///
/// `@unchecked Sendable`: only `MemoryWindowStore` has one, and uses it within its mutex.
final class WindowTable: @unchecked Sendable {
    private struct Entry {
        /// Of the user's id.
        var hash: UInt32
        /// Where its piece begins, in units; a free entry's next free one.
        var unit: UInt32
        /// Event time at the last write, minutes since 1970 UTC.
        var minute: UInt32
    }

    private static let unitSize = 8
    fileprivate static let unitsInBlock = 1 << 16
    /// A piece larger than this is a block of its own.
    private static let mostUnits = unitsInBlock / 8
    /// Length of the id and a flag, length of the blob.
    private static let headSize = 6
    /// The same of a packed one, whose length takes half as much.
    private static let packedHeadSize = 4
    /// Of the first word: it is packed; it is as it is, and stays so.
    private static let packedFlag: UInt16 = 1 << 15
    private static let apartFlag: UInt16 = 1 << 14
    private static let freeMinute = UInt32.max

    /// Entries' numbers and one; 0: none. A power of two, at most three quarters full.
    private var places = [UInt32](repeating: 0, count: 1024)
    private var entries: [Entry] = []
    private var firstFree = UInt32.max
    private var blocks: [UnsafeMutableRawBufferPointer] = []
    /// Units in use of the last block.
    private var used = WindowTable.unitsInBlock
    /// By number of units: pieces to be used again.
    private var free = [[UInt32]](repeating: [], count: WindowTable.mostUnits + 1)
    private(set) var count = 0
    /// Of all blocks, bytes.
    private var blockBytes = 0
    /// Of the pieces in use, units.
    private var liveUnits = 0
    /// Entries that are as they are and may be packed, in the order in which they came to be so; the first ones are done
    /// with. An entry that was freed and used again may stand there twice.
    private var hot: [UInt32] = []
    private var hotStart = 0
    /// Of their pieces, units.
    private var hotUnits = 0
    private let maximumHotUnits: Int
    private var packer = BlobPacker()
    /// What was unpacked last, which is lent.
    private var unpacked: [UInt8] = []

    /// - Parameter hotBytes: What blobs may take as they are, before those that were written longest ago should be packed.
    init(hotBytes: Int = 8 << 20) { maximumHotUnits = hotBytes / Self.unitSize }

    deinit { for block in blocks { block.deallocate() } }

    /// What all of it takes, bytes.
    var sizeBytes: Int { indexBytes + blockBytes }

    /// What the users take that are there, bytes: less than `sizeBytes` after others have gone.
    var liveBytes: Int { indexBytes + liveUnits * Self.unitSize }

    private var indexBytes: Int {
        places.capacity * 4 + entries.capacity * MemoryLayout<Entry>.stride + hot.capacity * 4
            + packer.sizeBytes
    }

    /// Lends a user's blob; nil: there is none.
    func withBlob<Result>(
        of user: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) throws -> Result
    ) rethrows -> Result {
        guard let entry = find(user) else { return try body(nil) }
        return try lend(piece(entry), body)
    }

    /// Keeps a blob in place of the user's earlier one.
    ///
    /// - Parameter minute: Event time now, minutes since 1970 UTC.
    func set(_ blob: UnsafeRawBufferPointer, of user: UnsafeRawBufferPointer, minute: UInt32) {
        let size = Self.headSize + user.count + blob.count
        if let entry = find(user) {
            replace(entry, size)
            entries[entry].minute = min(minute, Self.freeMinute - 1)
            write(entry, user, blob, flag: 0)
            return
        }
        if (count + 1) * 4 > places.count * 3 { grow() }
        let hash = UInt32(truncatingIfNeeded: TextHash.hash(user))
        let fresh = Entry(hash: hash, unit: allocate(size), minute: min(minute, Self.freeMinute - 1))
        let entry: Int
        if firstFree != .max {
            entry = Int(firstFree)
            firstFree = entries[entry].unit
            entries[entry] = fresh
        } else {
            entry = entries.count
            if entries.count == entries.capacity { entries.reserveCapacity(entries.count * 5 / 4 + 64) }
            entries.append(fresh)
        }
        count += 1
        hotUnits += Self.units(size)
        becomeHot(entry)
        write(entry, user, blob, flag: 0)
        put(entry)
    }

    /// Makes room for a blob as it is, in place of an entry's earlier one.
    private func replace(_ entry: Int, _ size: Int) {
        let old = piece(entry)
        if !old.isHot { becomeHot(entry) }
        hotUnits += Self.units(size) - (old.isHot ? Self.units(old.size) : 0)
        guard Self.units(old.size) != Self.units(size) else { return }
        release(entries[entry].unit, old.size)
        entries[entry].unit = allocate(size)
    }

    /// - Returns: Whether there was one.
    @discardableResult
    func remove(_ user: UnsafeRawBufferPointer) -> Bool {
        guard let entry = find(user) else { return false }
        remove(entry)
        return true
    }

    /// Visits every user, in no order that means anything.
    func visit(_ body: (_ user: UnsafeRawBufferPointer, _ blob: UnsafeRawBufferPointer) throws -> Void)
        rethrows
    {
        for entry in entries.indices where entries[entry].minute != Self.freeMinute {
            let piece = piece(entry)
            try lend(piece) { try body(piece.user, $0) }
        }
    }

    // MARK: - Packing

    /// What is to become of a blob.
    enum Packing {
        /// It is packed: this window, with pending records folded in, is all that it says.
        case pack(WindowBlob, UserWindow)
        /// It cannot be packed yet.
        case later
        /// It never can.
        case never
    }

    /// Packs blobs that were written longest ago while there are more bytes of them than there should be.
    ///
    /// - Parameters:
    ///   - count: How many it looks at, at most.
    ///   - decide: Asked of each.
    func pack(
        atMost count: Int,
        _ decide: (_ user: UnsafeRawBufferPointer, _ blob: UnsafeRawBufferPointer) -> Packing
    ) {
        for _ in 0..<count where hotUnits > maximumHotUnits && hotStart < hot.count {
            let entry = Int(hot[hotStart])
            hotStart += 1
            guard entries[entry].minute != Self.freeMinute else { continue }
            let old = piece(entry)
            guard old.isHot else { continue }
            switch decide(old.user, old.blob) {
            case .later: hot.append(UInt32(entry))
            case .never: setApart(entry)
            case .pack(let blob, let window): if !pack(entry, blob, window) { setApart(entry) }
            }
        }
        if hotStart > 4_096, hotStart * 2 > hot.count {
            hot.removeFirst(hotStart)
            hotStart = 0
        }
    }

    private func pack(_ entry: Int, _ blob: WindowBlob, _ window: UserWindow) -> Bool {
        let old = piece(entry)
        return packer.pack(blob, window) { packed in
            guard packed.count <= Int(UInt16.max) else { return false }
            hotUnits -= Self.units(old.size)
            // The id goes with its piece, which is given back.
            let user = Array(old.user)
            release(entries[entry].unit, old.size)
            entries[entry].unit = allocate(Self.packedHeadSize + user.count + packed.count)
            user.withUnsafeBytes { write(entry, $0, packed, flag: Self.packedFlag) }
            return true
        } ?? false
    }

    private func setApart(_ entry: Int) {
        hotUnits -= Self.units(piece(entry).size)
        let start = address(entries[entry].unit)
        start.storeBytes(of: start.load(as: UInt16.self) | Self.apartFlag, as: UInt16.self)
    }

    private func becomeHot(_ entry: Int) {
        // Freed ones have left theirs behind.
        if hot.count > 2 * entries.count + 4_096 {
            hot.removeAll(keepingCapacity: true)
            hotStart = 0
            for entry in entries.indices
            where entries[entry].minute != Self.freeMinute && piece(entry).isHot {
                hot.append(UInt32(entry))
            }
        }
        hot.append(UInt32(entry))
    }

    /// What must still stand there for a write to be made.
    func expectation(of user: UnsafeRawBufferPointer) -> WindowExpectation {
        guard let entry = find(user) else { return .nothing }
        let piece = piece(entry)
        return piece.isPacked ? .token(packer.token(piece.blob)) : WindowExpectation(of: piece.blob)
    }

    /// Lends the blob as it is, or unpacked.
    private func lend<Result>(_ piece: Piece, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
        -> Result
    {
        guard piece.isPacked else { return try body(piece.blob) }
        packer.unpack(piece.blob, owner: TextHash.hash(piece.user), into: &unpacked)
        return try unpacked.withUnsafeBytes(body)
    }

    // MARK: - Going round

    /// How many entries there are to go round, free ones included.
    var entryCount: Int { entries.count }

    /// When an entry was written; nil: it is free.
    func minute(ofEntry entry: Int) -> UInt32? {
        entries[entry].minute == Self.freeMinute ? nil : entries[entry].minute
    }

    /// Lends an entry's user and blob.
    func withEntry<Result>(
        _ entry: Int,
        _ body: (_ user: UnsafeRawBufferPointer, _ blob: UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let piece = piece(entry)
        return try lend(piece) { try body(piece.user, $0) }
    }

    /// Removes the user of an entry that is not free.
    func remove(_ entry: Int) {
        var place = Int(entries[entry].hash) & (places.count - 1)
        while places[place] != UInt32(entry) + 1 { place = (place + 1) & (places.count - 1) }
        let piece = piece(entry)
        if piece.isHot { hotUnits -= Self.units(piece.size) }
        release(entries[entry].unit, piece.size)
        entries[entry] = Entry(hash: 0, unit: firstFree, minute: Self.freeMinute)
        firstFree = UInt32(entry)
        count -= 1
        // What stands behind moves up, so that no look-up ends early.
        var hole = place
        var next = (place + 1) & (places.count - 1)
        while places[next] != 0 {
            let home = Int(entries[Int(places[next]) - 1].hash) & (places.count - 1)
            if (next &- home) & (places.count - 1) >= (next &- hole) & (places.count - 1) {
                places[hole] = places[next]
                hole = next
            }
            next = (next + 1) & (places.count - 1)
        }
        places[hole] = 0
    }

    // MARK: - Index

    private func find(_ user: UnsafeRawBufferPointer) -> Int? {
        let hash = UInt32(truncatingIfNeeded: TextHash.hash(user))
        var place = Int(hash) & (places.count - 1)
        while places[place] != 0 {
            let entry = Int(places[place]) - 1
            if entries[entry].hash == hash {
                let known = piece(entry).user
                if known.count == user.count, known.elementsEqual(user) { return entry }
            }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private func put(_ entry: Int) {
        var place = Int(entries[entry].hash) & (places.count - 1)
        while places[place] != 0 { place = (place + 1) & (places.count - 1) }
        places[place] = UInt32(entry) + 1
    }

    private func grow() {
        places = [UInt32](repeating: 0, count: places.count * 2)
        for entry in entries.indices where entries[entry].minute != Self.freeMinute { put(entry) }
    }

    // MARK: - Pieces

    private struct Piece {
        let flags: UInt16
        let user: UnsafeRawBufferPointer
        /// As it is, or packed.
        let blob: UnsafeRawBufferPointer

        var isPacked: Bool { flags & WindowTable.packedFlag != 0 }
        /// Not packed, and may be.
        var isHot: Bool { flags & (WindowTable.packedFlag | WindowTable.apartFlag) == 0 }
        var size: Int {
            (isPacked ? WindowTable.packedHeadSize : WindowTable.headSize) + user.count + blob.count
        }
    }

    private func address(_ unit: UInt32) -> UnsafeMutableRawPointer {
        let block = blocks[Int(unit) / Self.unitsInBlock]
        return block.baseAddress.unsafelyUnwrapped + Int(unit) % Self.unitsInBlock * Self.unitSize
    }

    private func piece(_ entry: Int) -> Piece {
        let start = UnsafeRawPointer(address(entries[entry].unit))
        let first = start.load(as: UInt16.self)
        let flags = first & (Self.packedFlag | Self.apartFlag)
        let isPacked = flags & Self.packedFlag != 0
        let userSize = Int(first ^ flags)
        let user = start + (isPacked ? Self.packedHeadSize : Self.headSize)
        let blobSize =
            isPacked
            ? Int(start.load(fromByteOffset: 2, as: UInt16.self))
            : Int(start.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
        return Piece(
            flags: flags, user: UnsafeRawBufferPointer(start: user, count: userSize),
            blob: UnsafeRawBufferPointer(start: user + userSize, count: blobSize))
    }

    private func write(
        _ entry: Int, _ user: UnsafeRawBufferPointer, _ blob: UnsafeRawBufferPointer, flag: UInt16
    ) {
        precondition(user.count < Self.apartFlag, "no id is so long")
        let start = address(entries[entry].unit)
        start.storeBytes(of: UInt16(user.count) | flag, as: UInt16.self)
        let head = flag == Self.packedFlag ? Self.packedHeadSize : Self.headSize
        if flag == Self.packedFlag {
            start.storeBytes(of: UInt16(blob.count), toByteOffset: 2, as: UInt16.self)
        } else {
            start.storeBytes(of: UInt32(truncatingIfNeeded: blob.count), toByteOffset: 2, as: UInt32.self)
        }
        if let bytes = user.baseAddress {
            (start + head).copyMemory(from: bytes, byteCount: user.count)
        }
        if let bytes = blob.baseAddress {
            (start + head + user.count).copyMemory(from: bytes, byteCount: blob.count)
        }
    }

    /// How many units a piece takes: larger ones in coarser steps, so that they fit one another.
    private static func units(_ size: Int) -> Int {
        let units = (size + unitSize - 1) / unitSize
        guard units > 256 else { return units }
        let step = 1 << (Int.bitWidth - 4 - units.leadingZeroBitCount)
        return (units + step - 1) / step * step
    }

    private func allocate(_ size: Int) -> UInt32 {
        let units = Self.units(size)
        liveUnits += units
        if units > Self.mostUnits {
            // A block of its own, named by its first unit; what is left of the block before is given up.
            addBlock(units: units)
            used = Self.unitsInBlock
            return UInt32((blocks.count - 1) * Self.unitsInBlock)
        }
        if let unit = free[units].popLast() { return unit }
        if used + units > Self.unitsInBlock { addBlock(units: Self.unitsInBlock) }
        defer { used += units }
        return UInt32((blocks.count - 1) * Self.unitsInBlock + used)
    }

    private func addBlock(units: Int) {
        blocks.append(.allocate(byteCount: units * Self.unitSize, alignment: 16))
        blockBytes += units * Self.unitSize
        used = 0
    }

    private func release(_ unit: UInt32, _ size: Int) {
        let units = Self.units(size)
        liveUnits -= units
        if units <= Self.mostUnits {
            free[units].append(unit)
            return
        }
        let block = Int(unit) / Self.unitsInBlock
        blocks[block].deallocate()
        blocks[block] = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        blockBytes -= units * Self.unitSize
    }
}
