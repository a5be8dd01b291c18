import CSimdJSON

/// The textual fields of a transaction. Raw values are positions in a batch's rows.
public enum TextField: Int, CaseIterable, Sendable {
    case transactionID, userID, currency, merchantID, category, country, channel, deviceID

    /// The field's key in JSON.
    public var key: String {
        switch self {
        case .transactionID: "transaction_id"
        case .userID: "user_id"
        case .currency: "currency"
        case .merchantID: "merchant_id"
        case .category: "category"
        case .country: "country"
        case .channel: "channel"
        case .deviceID: "device_id"
        }
    }

    @usableFromInline static let count = 8
}

/// The hash under which windows and artifacts know a text: XXH64 with seed 0, and 1 where that is 0.
///
/// It is stored, so it is the same on every machine and for ever. 0 stands for a missing text.
public enum TextHash {
    /// The hash of UTF-8 bytes; never 0.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        csimd_text_hash(bytes.baseAddress, bytes.count)
    }

    /// The hash of a text's UTF-8 bytes; never 0.
    public static func hash(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }
}
