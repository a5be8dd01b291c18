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
        var line = "{"
        append(.transactionID, to: &line)
        append(.userID, to: &line)
        append("amount", amount, to: &line)
        line += "\"timestamp\":\"" + EventTime.format(timestampMilliseconds) + "\","
        for field in TextField.allCases.dropFirst(2) { append(field, to: &line) }
        if let latitude { append("latitude", latitude, to: &line) }
        if let longitude { append("longitude", longitude, to: &line) }
        line.removeLast()
        return line + "}"
    }

    private func append(_ field: TextField, to line: inout String) {
        guard let text = self[field] else { return }
        line += "\"" + field.key + "\":"
        JSONText.append(text, to: &line)
        line += ","
    }

    private func append(_ key: String, _ number: Double, to line: inout String) {
        // Swift describes a finite double by the shortest decimal that reads back to it, which is JSON too.
        line += "\"" + key + "\":" + (number.isFinite ? number.description : "null") + ","
    }
}

/// Writes JSON strings.
enum JSONText {
    static func append(_ text: String, to line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\u{00}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}
