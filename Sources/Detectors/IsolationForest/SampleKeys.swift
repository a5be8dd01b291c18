import DetectorAPI

/// The keys of the rows that trees are grown from, column after column, as signed integers.
///
/// Few rows are turned into keys once and shared by all trees; of many rows each tree's sample is.
final class SampleKeys {
    /// The key of a missing value: below every other.
    static let missing = Int32.min

    let columns: Int
    /// Rows that have a place: those of one column follow those of the one before.
    let capacity: Int
    let hasAllRows: Bool
    /// Whether a value is missing among the rows that have keys.
    private(set) var hasMissing = false
    let keys: UnsafeMutablePointer<Int32>
    private let source: SourceRows
    private let centres: [Float]
    private let keyMask: UInt32
    /// The rows of one tree, as they are.
    private let copies: UnsafeMutablePointer<Float>

    init(_ rows: SourceRows, _ shape: ForestShape, centres: [Float], sampleSize: Int) {
        keyMask = shape.keyMask
        columns = rows.columns
        source = rows
        self.centres = centres
        // Worth it while the rows are fewer than the trees would turn, and the keys fit in the cache.
        hasAllRows =
            rows.count <= sampleSize * min(shape.trees, 8) && rows.count <= 1 << 16
            && (rows.count == sampleSize || rows.count * columns <= 1 << 18)
        capacity = hasAllRows ? rows.count : sampleSize
        keys = .allocate(capacity: capacity * columns)
        copies = .allocate(capacity: hasAllRows ? 0 : capacity * columns)
        if hasAllRows { writeAll() }
    }

    private func writeAll() {
        if source.orders == nil {
            for row in 0..<source.count { write(source.rows, row, to: row) }
            return
        }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { wide in
            for row in 0..<source.count {
                source.copy(row, to: wide.baseAddress.unsafelyUnwrapped)
                write(FeatureRows(UnsafeBufferPointer(wide), columns: columns), 0, to: row)
            }
        }
    }

    deinit {
        keys.deallocate()
        copies.deallocate()
    }

    /// Takes the rows of one tree.
    ///
    /// Rows are copied first and turned into keys then: copying is so short that a dozen rows are on their way
    /// from memory at once, which is what the time goes into when rows are many.
    func gather(_ chosen: [UInt32]) {
        for place in chosen.indices { source.copy(Int(chosen[place]), to: copies + place &* columns) }
        hasMissing = false
        let copied = FeatureRows(
            UnsafeBufferPointer(start: copies, count: capacity * columns), columns: columns)
        for place in 0..<capacity { write(copied, place, to: place) }
    }

    @inline(__always)
    private func write(_ rows: FeatureRows, _ row: Int, to place: Int) {
        let values = rows.values.baseAddress.unsafelyUnwrapped + row &* columns
        var missing = false
        centres.withUnsafeBufferPointer { centres in
            for column in 0..<columns {
                let value = values[column]
                let key = FeatureKey.key(of: value, centre: centres[column])
                let isMissing = value.isNaN
                keys[column &* capacity &+ place] =
                    isMissing ? Self.missing : Int32(bitPattern: key & keyMask ^ 0x8000_0000)
                missing = missing || isMissing
            }
        }
        if missing { hasMissing = true }
    }

    func column(_ column: Int) -> UnsafePointer<Int32> { UnsafePointer(keys + column &* capacity) }
}
