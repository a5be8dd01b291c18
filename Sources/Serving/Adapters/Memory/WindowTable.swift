import Transactions

/// Users' blobs in memory, close together: an index of 4 bytes a place, an entry of 12 bytes a user, and the bytes
/// themselves in blocks of 1 MiB, in pieces of a multiple of 16 bytes that are used again.
///
/// A dictionary of arrays takes two allocations and some 120 bytes more a user.
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

    private static let unitSize = 16
    fileprivate static let unitsInBlock = 1 << 16
    /// A piece larger than this is a block of its own.
    private static let mostUnits = unitsInBlock / 8
    /// Length of the id, length of the blob.
    private static let headSize = 6
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

    init() {}

    deinit { for block in blocks { block.deallocate() } }

    /// What all of it takes, bytes.
    var sizeBytes: Int { indexBytes + blockBytes }

    /// What the users take that are there, bytes: less than `sizeBytes` after others have gone.
    var liveBytes: Int { indexBytes + liveUnits * Self.unitSize }

    private var indexBytes: Int {
        places.capacity * 4 + entries.capacity * MemoryLayout<Entry>.stride
    }

    /// Lends a user's blob; nil: there is none.
    func withBlob<Result>(
        of user: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) throws -> Result
    ) rethrows -> Result {
        guard let entry = find(user) else { return try body(nil) }
        return try body(piece(entry).blob)
    }

    /// Keeps a blob in place of the user's earlier one.
    ///
    /// - Parameter minute: Event time now, minutes since 1970 UTC.
    func set(_ blob: UnsafeRawBufferPointer, of user: UnsafeRawBufferPointer, minute: UInt32) {
        let size = Self.headSize + user.count + blob.count
        if let entry = find(user) {
            let old = piece(entry)
            if Self.units(old.size) != Self.units(size) {
                release(entries[entry].unit, old.size)
                entries[entry].unit = allocate(size)
            }
            entries[entry].minute = min(minute, Self.freeMinute - 1)
            write(entry, user, blob)
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
        write(entry, user, blob)
        put(entry)
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
            try body(piece.user, piece.blob)
        }
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
        return try body(piece.user, piece.blob)
    }

    /// Removes the user of an entry that is not free.
    func remove(_ entry: Int) {
        var place = Int(entries[entry].hash) & (places.count - 1)
        while places[place] != UInt32(entry) + 1 { place = (place + 1) & (places.count - 1) }
        release(entries[entry].unit, piece(entry).size)
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
        let user: UnsafeRawBufferPointer
        let blob: UnsafeRawBufferPointer
        var size: Int { WindowTable.headSize + user.count + blob.count }
    }

    private func address(_ unit: UInt32) -> UnsafeMutableRawPointer {
        let block = blocks[Int(unit) / Self.unitsInBlock]
        return block.baseAddress.unsafelyUnwrapped + Int(unit) % Self.unitsInBlock * Self.unitSize
    }

    private func piece(_ entry: Int) -> Piece {
        let start = UnsafeRawPointer(address(entries[entry].unit))
        let userSize = Int(start.loadUnaligned(as: UInt16.self))
        let blobSize = Int(start.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
        return Piece(
            user: UnsafeRawBufferPointer(start: start + Self.headSize, count: userSize),
            blob: UnsafeRawBufferPointer(start: start + Self.headSize + userSize, count: blobSize))
    }

    private func write(_ entry: Int, _ user: UnsafeRawBufferPointer, _ blob: UnsafeRawBufferPointer) {
        let start = address(entries[entry].unit)
        start.storeBytes(of: UInt16(truncatingIfNeeded: user.count), as: UInt16.self)
        start.storeBytes(of: UInt32(truncatingIfNeeded: blob.count), toByteOffset: 2, as: UInt32.self)
        if let bytes = user.baseAddress {
            (start + Self.headSize).copyMemory(from: bytes, byteCount: user.count)
        }
        if let bytes = blob.baseAddress {
            (start + Self.headSize + user.count).copyMemory(from: bytes, byteCount: blob.count)
        }
    }

    /// How many units a piece takes: larger ones in coarser steps, so that they fit one another.
    private static func units(_ size: Int) -> Int {
        let units = (size + unitSize - 1) / unitSize
        guard units > 32 else { return units }
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
