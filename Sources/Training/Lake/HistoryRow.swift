import Features
import Glibc
import Models
import Transactions

/// What training keeps of a transaction: of fixed size, so that any number of them can be kept in files.
struct HistoryRow: BitwiseCopyable, Sendable {
    var timestampMilliseconds: Int64
    var amount: Double
    /// NaN: missing.
    var latitude: Double
    var longitude: Double
    /// `TextHash`es; 0: missing.
    var merchant: UInt64
    var country: UInt64
    var device: UInt64
    var category: UInt64
    var channel: UInt64
    var currency: UInt64
    var transaction: UInt64
    /// Index in `HistoryUsers`.
    var user: UInt32
    /// 1 anomalous, 0 not, -1 unknown. Of 32 bits, so that rows lie without gaps.
    var label: Int32

    /// What the window sees of it: the same as of a transaction that is parsed from the stream.
    var event: WindowEvent {
        WindowEvent(
            timestampMilliseconds: timestampMilliseconds, amount: amount, merchant: merchant,
            country: country,
            device: device, latitude: latitude, longitude: longitude)
    }

    /// Writes the hashes that `PreprocessingPlan.apply` reads, in the order of `FeatureSchema.categorical`.
    func appendCategories(to hashes: inout [UInt64]) {
        // As the schema has them, which a test keeps together: its list has names, which would be counted for each row.
        hashes.append(category)
        hashes.append(country)
        hashes.append(channel)
        hashes.append(currency)
    }
}

/// The ids of users, numbered as they come.
struct HistoryUsers: Sendable {
    private var indices: [UInt64: UInt32] = [:]
    /// Where each user's rows are, see `spillKey`.
    private var spillKeys: [UInt16] = []
    private var starts: [Int] = [0]
    private var texts: [UInt8] = []
    private var last: (index: UInt32, hash: UInt64)?

    var count: Int { starts.count - 1 }

    func id(_ index: UInt32) -> String { String(decoding: bytes(index), as: UTF8.self) }

    /// Which part of the history a user's rows are in, and which piece of it: the part is the catalogue's shard of the user,
    /// so that a part of the users is a part of the models.
    func spillKey(_ index: UInt32) -> Int { Int(spillKeys[Int(index)]) }

    private func bytes(_ index: UInt32) -> ArraySlice<UInt8> {
        texts[starts[Int(index)]..<starts[Int(index) + 1]]
    }

    /// The number of a user, and the hash of the id; users with one hash are told apart by their ids.
    mutating func find(_ id: UnsafeBufferPointer<UInt8>) -> (index: UInt32, hash: UInt64) {
        // Files are sorted by user, more often than not.
        if let last, isId(id, of: last.index) { return last }
        let hash = TextHash.hash(UnsafeRawBufferPointer(id))
        let found = (index: index(of: id, hash: hash), hash: hash)
        last = found
        return found
    }

    private func isId(_ id: UnsafeBufferPointer<UInt8>, of index: UInt32) -> Bool {
        let (start, end) = (starts[Int(index)], starts[Int(index) + 1])
        guard id.count == end - start, let other = id.baseAddress else { return id.count == end - start }
        return texts.withUnsafeBufferPointer { texts in
            texts.baseAddress.map { memcmp($0 + start, other, end - start) == 0 } ?? true
        }
    }

    mutating func index(of id: UnsafeBufferPointer<UInt8>, hash: UInt64) -> UInt32 {
        var slot = hash
        while let found = indices[slot] {
            if isId(id, of: found) { return found }
            slot &+= 1
        }
        let index = UInt32(count)
        texts.append(contentsOf: id)
        starts.append(texts.count)
        let piece = UInt16(truncatingIfNeeded: hash >> 32) % UInt16(History.pieceCount)
        spillKeys.append(UInt16(Tenant.shardNumber(id)) * UInt16(History.pieceCount) + piece)
        indices[slot] = index
        return index
    }
}

/// The texts of categories by their hashes, so that an encoder can name its columns.
struct CategoryNames: Sendable {
    /// Beyond so many different texts, further ones have no name and are pooled with the rare ones.
    static let capacity = 1 << 20

    private var names: [UInt64: String] = [:]

    subscript(hash: UInt64) -> String? { hash == 0 ? nil : names[hash] }

    mutating func add(_ hash: UInt64, _ text: UnsafeBufferPointer<UInt8>) {
        guard hash != 0, names[hash] == nil, names.count < Self.capacity else { return }
        names[hash] = String(decoding: text, as: UTF8.self)
    }
}
