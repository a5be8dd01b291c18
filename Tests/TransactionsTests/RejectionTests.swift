import Testing
import Transactions

@Suite struct RejectionTests {
    /// A message, and why it is refused.
    static let refused: [(String, RejectionReason, String?)] = [
        ("", .notJSON, nil),
        (" ", .notJSON, nil),
        ("{", .notJSON, nil),
        ("nonsense", .notJSON, nil),
        (message() + "x", .notJSON, nil),
        (message() + message(), .notJSON, nil),
        (String(message().dropLast()), .notJSON, nil),
        (message("\"x\":tru"), .notJSON, nil),
        (message("\"x\":01"), .notJSON, nil),
        (message("\"x\":1e"), .notJSON, nil),
        (message("\"x\":NaNa"), .notJSON, nil),
        (message("\"x\":nan"), .notJSON, nil),
        (message("\"x\":-NaN"), .notJSON, nil),
        (message(amount: "NaN"), .missingField, "amount"),
        (message(amount: "Infinity"), .notFinite, "amount"),
        (message(amount: "-Infinity"), .notFinite, "amount"),
        (message("\"x\":\"\u{1}\""), .notJSON, nil),
        (message("\"x\":\"\u{0}\""), .notJSON, nil),
        (message("\"x\":\"\\q\""), .notJSON, nil),
        (message(userID: "\"\\ud800\""), .notJSON, nil),
        ("[]", .notAnObject, nil),
        ("null", .notAnObject, nil),
        ("\"text\"", .notAnObject, nil),
        ("12", .notAnObject, nil),
        ("{}", .missingField, "transaction_id"),
        (message(transactionID: "null"), .missingField, "transaction_id"),
        (message(userID: "null"), .missingField, "user_id"),
        (message(amount: "null"), .missingField, "amount"),
        (message(timestamp: "null"), .missingField, "timestamp"),
        (message(transactionID: "7.5"), .wrongType, "transaction_id"),
        (message(userID: "1e300"), .wrongType, "user_id"),
        (message(userID: "true"), .wrongType, "user_id"),
        (message(userID: "\"NULL\""), .missingField, "user_id"),
        (message(amount: "\"12,5\""), .wrongType, "amount"),
        (message(amount: "\"NaN\""), .missingField, "amount"),
        (message(amount: "true"), .wrongType, "amount"),
        (message(amount: "[]"), .wrongType, "amount"),
        (message(timestamp: "[]"), .wrongType, "timestamp"),
        (message("\"category\":5.5"), .wrongType, "category"),
        (message("\"device_id\":{}"), .wrongType, "device_id"),
        (message("\"latitude\":\"north\""), .wrongType, "latitude"),
        (message("\"longitude\":false"), .wrongType, "longitude"),
        (message(amount: "1e999"), .notFinite, "amount"),
        (message(amount: "-1e999"), .notFinite, "amount"),
        (message(amount: "1" + String(repeating: "0", count: 400)), .notFinite, "amount"),
        (message(timestamp: "1e999"), .notFinite, "timestamp"),
        (message("\"latitude\":1e400"), .notFinite, "latitude"),
        (message(timestamp: "20180601"), .badTimestamp, "timestamp"),
        (message(timestamp: "20180601000000"), .badTimestamp, "timestamp"),
        (message(timestamp: "-1"), .badTimestamp, "timestamp"),
        (message(timestamp: "\"yesterday\""), .badTimestamp, "timestamp"),
        (message(timestamp: "\"2018-06-01T00:00:00\""), .badTimestamp, "timestamp"),
        (message(timestamp: "\"1969-06-01T00:00:00Z\""), .badTimestamp, "timestamp"),
        (message(timestamp: "\"\""), .missingField, "timestamp"),
        (message(userID: "\"\""), .userIDLength, "user_id"),
        (message(userID: "\"\(String(repeating: "u", count: 257))\""), .userIDLength, "user_id"),
        (message(transactionID: "\"\""), .textLength, "transaction_id"),
        (message("\"merchant_id\":\"\(String(repeating: "m", count: 1025))\""), .textLength, "merchant_id"),
        (message(String(repeating: " ", count: 65536)), .tooLarge, nil),
        (message("\"x\":\"\(String(repeating: "x", count: 70_000))\""), .tooLarge, nil),
        (message("\"x\":" + String(repeating: "[", count: 9000)), .tooDeep, nil),
        (
            message("\"x\":" + String(repeating: "[", count: 64) + String(repeating: "]", count: 64)),
            .tooDeep, nil
        ),
        (message(userID: "\"a\\u0000b\""), .embeddedNUL, "user_id"),
        (message("\"latitude\":90.5"), .outOfRange, "latitude"),
        (message("\"longitude\":-181"), .outOfRange, "longitude"),
    ]

    @Test(arguments: refused.indices)
    func namesReasonAndField(_ index: Int) {
        let (message, reason, field) = Self.refused[index]
        let parsed = ParsedMessages([message])
        #expect(parsed.rejections.map(\.messageIndex) == [0])
        #expect(parsed.rejections.map(\.reason) == [reason])
        #expect(parsed.rejections.map(\.field) == [field])
        #expect(parsed.batch.count == 0)
    }

    @Test func namesTheValue() {
        let long = String(repeating: "é", count: 60)
        let values = ParsedMessages([
            message(amount: "\"ten\""), message(timestamp: "20180601"), message(amount: "[]"),
            message("\"latitude\":\"\(long)\""), message("\"longitude\":200.5"),
        ]).rejections.map { $0.value ?? "" }
        #expect(
            values[0] == "ten" && values[1] == "20180601" && values[2] == "a list" && values[4] == "200.5")
        #expect(!values[3].isEmpty && long.hasPrefix(values[3]))
    }

    @Test func acceptsWhatIsJustWithinTheLimits() {
        let long = String(repeating: "u", count: 256)
        let nested = String(repeating: "[", count: 60) + String(repeating: "]", count: 60)
        let padding = String(repeating: " ", count: 65536 - message().utf8.count)
        let parsed = ParsedMessages([
            message(transactionID: "\"\(long)\"", userID: "\"\(long)\"", "\"x\":\(nested)"),
            message() + padding,
            message("\"latitude\":-90,\"longitude\":180,\"category\":\"\(long)\(long)\(long)\(long)\""),
        ])
        #expect(parsed.rejections.isEmpty)
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        var outside = Array(message("\"note\":\"?\"").utf8)
        outside[outside.count - 3] = 0xFF
        let surrogate = Array("{\"user_id\":\"".utf8) + [0xED, 0xA0, 0x80] + Array("\"}".utf8)
        let parsed = ParsedMessages([outside, surrogate, Array(message(userID: "\"\\udc00\"").utf8)])
        #expect(parsed.rejections.count == 3)
        #expect(parsed.rejections.prefix(2).allSatisfy { $0.reason == .invalidUTF8 })
    }

    @Test func saysWhatIsWrong() {
        let rejection = Rejection(messageIndex: 3, reason: .userIDLength, field: "user_id")
        #expect(rejection.description == "message 3: user-id-length: field user_id: expected 1 to 256 bytes")
        #expect(Set(RejectionReason.allCases.map(\.rawValue)).count == 13)
    }
}
