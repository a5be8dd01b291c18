import Exact

/// One transaction, for the places where speed does not matter; streams go through `TransactionBatch`.
public struct Transaction: Sendable, Hashable {
    public var transactionID: String
    /// 1 to 256 bytes of UTF-8.
    public var userID: String
    /// Finite.
    public var amount: Double
    /// Event time, milliseconds since 1970 UTC.
    public var timestampMilliseconds: Int64
    public var currency: String?
    public var merchantID: String?
    public var category: String?
    public var country: String?
    public var channel: String?
    public var deviceID: String?
    /// Degrees, -90 to 90.
    public var latitude: Double?
    /// Degrees, -180 to 180.
    public var longitude: Double?

    public init(
        transactionID: String, userID: String, amount: Double, timestampMilliseconds: Int64,
        currency: String? = nil, merchantID: String? = nil, category: String? = nil, country: String? = nil,
        channel: String? = nil, deviceID: String? = nil, latitude: Double? = nil, longitude: Double? = nil
    ) {
        self.transactionID = transactionID
        self.userID = userID
        self.amount = amount
        self.timestampMilliseconds = timestampMilliseconds
        self.currency = currency
        self.merchantID = merchantID
        self.category = category
        self.country = country
        self.channel = channel
        self.deviceID = deviceID
        self.latitude = latitude
        self.longitude = longitude
    }

    public subscript(field: TextField) -> String? {
        switch field {
        case .transactionID: transactionID
        case .userID: userID
        case .currency: currency
        case .merchantID: merchantID
        case .category: category
        case .country: country
        case .channel: channel
        case .deviceID: deviceID
        }
    }

    /// The canonical JSON: one line, keys in a fixed order, missing fields left out. Equal transactions give equal
    /// bytes, and `TransactionParser` reads them back to an equal transaction if it is one that it accepts.
    public func json() -> String {
        var json = JSONWriter()
        json.beginObject()
        json.field("transaction_id", transactionID)
        json.field("user_id", userID)
        json.field("amount", amount)
        json.field("timestamp") { TimeText.append(timestampMilliseconds, to: &$0) }
        if let currency { json.field("currency", currency) }
        if let merchantID { json.field("merchant_id", merchantID) }
        if let category { json.field("category", category) }
        if let country { json.field("country", country) }
        if let channel { json.field("channel", channel) }
        if let deviceID { json.field("device_id", deviceID) }
        if let latitude { json.field("latitude", latitude) }
        if let longitude { json.field("longitude", longitude) }
        json.endObject()
        return String(decoding: json.bytes, as: UTF8.self)
    }
}
