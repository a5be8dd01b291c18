import Transactions

/// What a window needs of a transaction; trivially copyable.
public struct WindowEvent: Sendable, Hashable {
    /// Event time, milliseconds since 1970 UTC. Windows take it as if within 2200 years of 1970.
    public var timestampMilliseconds: Int64
    /// Windows take it as if within -1e100 to 1e100, and NaN as 0.
    public var amount: Double
    /// `TextHash`es; 0: missing.
    public var merchant: UInt64
    public var country: UInt64
    public var device: UInt64
    /// Degrees; NaN, or outside -90...90 and -180...180: missing.
    public var latitude: Double
    public var longitude: Double

    public init(
        timestampMilliseconds: Int64, amount: Double, merchant: UInt64 = 0, country: UInt64 = 0,
        device: UInt64 = 0, latitude: Double = .nan, longitude: Double = .nan
    ) {
        self.timestampMilliseconds = timestampMilliseconds
        self.amount = amount
        self.merchant = merchant
        self.country = country
        self.device = device
        self.latitude = latitude
        self.longitude = longitude
    }

    public init(_ batch: TransactionBatch, row: Int) {
        self.init(
            timestampMilliseconds: batch.timestampMilliseconds[row], amount: batch.amount[row],
            merchant: batch.hash(.merchantID, row), country: batch.hash(.country, row),
            device: batch.hash(.deviceID, row),
            latitude: batch.latitude[row], longitude: batch.longitude[row])
    }

    /// Equal when every field has the same bits: a missing place equals a missing place.
    public static func == (a: WindowEvent, b: WindowEvent) -> Bool {
        a.timestampMilliseconds == b.timestampMilliseconds && a.amount.bitPattern == b.amount.bitPattern
            && a.merchant == b.merchant && a.country == b.country && a.device == b.device
            && a.latitude.bitPattern == b.latitude.bitPattern
            && a.longitude.bitPattern == b.longitude.bitPattern
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(timestampMilliseconds)
        hasher.combine(amount.bitPattern)
        hasher.combine(merchant)
        hasher.combine(country)
        hasher.combine(device)
        hasher.combine(latitude.bitPattern)
        hasher.combine(longitude.bitPattern)
    }

    // MARK: - Bytes

    /// Seven little-endian 64-bit words, in the order of the fields above.
    public static let encodedSize = 56

    /// Appends `encodedSize` bytes.
    public func encode(into bytes: inout [UInt8]) {
        var words = (
            UInt64(bitPattern: timestampMilliseconds).littleEndian, amount.bitPattern.littleEndian,
            merchant.littleEndian, country.littleEndian, device.littleEndian,
            latitude.bitPattern.littleEndian, longitude.bitPattern.littleEndian
        )
        withUnsafeBytes(of: &words) { bytes.append(contentsOf: $0) }
    }

    /// Reads what `encode(into:)` wrote. Any bits give an event; windows bear any event.
    ///
    /// - Throws: `.truncated` for fewer than `encodedSize` bytes; further bytes are left alone.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WindowFormatError) {
        guard bytes.count >= Self.encodedSize else { throw .truncated }
        func word(_ index: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        }
        self.init(
            timestampMilliseconds: Int64(bitPattern: word(0)), amount: Double(bitPattern: word(1)),
            merchant: word(2), country: word(3), device: word(4),
            latitude: Double(bitPattern: word(5)), longitude: Double(bitPattern: word(6)))
    }

    // MARK: - As windows see it

    /// The time, within +-2^46 ms, so that every bucket's index fits 32 bits.
    var windowTime: Int64 { min(max(timestampMilliseconds, -(1 << 46)), 1 << 46) }

    /// The amount, so bounded that no sum of squares overflows; -0 becomes 0.
    var windowAmount: Double {
        if amount.isNaN { return 0 }
        return min(max(amount, -1e100), 1e100) + 0
    }

    var isLocated: Bool { latitude.magnitude <= 90 && longitude.magnitude <= 180 }
}
