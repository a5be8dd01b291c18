import Exact
import Testing
import Transactions

@Suite struct TransactionParserTests {
    @Test func readsEveryField() throws {
        let parsed = ParsedMessages([
            """
            {"transaction_id": "t-1", "user_id": "user 1", "amount": -12.25, "timestamp": 1527811200123,
             "currency": "EUR", "merchant_id": "m1", "category": "grocery", "country": "DE", "channel": "web",
             "device_id": "d1", "latitude": 48.5, "longitude": -11}
            """
        ])
        let expected = Transaction(
            transactionID: "t-1", userID: "user 1", amount: -12.25, timestampMilliseconds: 1_527_811_200_123,
            currency: "EUR", merchantID: "m1", category: "grocery", country: "DE", channel: "web",
            deviceID: "d1", latitude: 48.5, longitude: -11)
        #expect(parsed.rejections.isEmpty)
        #expect(parsed.transactions == [expected])
        #expect(parsed.batch.hash(.category, 0) == TextHash.hash("grocery"))
    }

    @Test func absentAndNullOptionalFieldsAreMissing() throws {
        let parsed = ParsedMessages([
            message(), message("\"category\": null, \"latitude\": null, \"device_id\":null"),
        ])
        let expected = Transaction(
            transactionID: "t1", userID: "u1", amount: 12.5, timestampMilliseconds: 1_527_811_200_000)
        #expect(parsed.transactions == [expected, expected])
        #expect(parsed.batch.hash(.category, 1) == 0)
        #expect(parsed.batch.latitude[0].isNaN)
        let isMissing = parsed.batch.withText(.category, 0) { $0 == nil }
        #expect(isMissing)
    }

    @Test(arguments: ["", "NULL", "\\\\N", "NaN", "<NA>"])
    func wordsForNothingAreMissing(_ word: String) {
        let parsed = ParsedMessages([message("\"category\":\"\(word)\",\"latitude\":\"\(word)\"")])
        #expect(parsed.batch.hash(.category, 0) == 0)
        #expect(parsed.batch.latitude[0].isNaN)
    }

    /// Python's `json` writes them so, although JSON has no such numbers.
    @Test func bareNaNIsMissing() {
        let parsed = ParsedMessages([
            message("\"latitude\":NaN,\"category\": NaN ,\"x\":[NaN,-Infinity],\"country\":\"NaN\\\" NaN\"")
        ])
        #expect(parsed.rejections.isEmpty)
        #expect(parsed.batch.latitude[0].isNaN)
        #expect(parsed.transactions.map(\.category) == [nil])
        #expect(parsed.transactions.map(\.country) == ["NaN\" NaN"])
    }

    @Test func numbersAreIdsAndTextsAreNumbers() {
        let parsed = ParsedMessages([
            message(
                transactionID: "18446744073709551615", userID: "42", amount: "\"12.5\"",
                timestamp: "\"1527811200000.0\"", "\"merchant_id\":-7,\"device_id\":1e15,\"country\":\"NA\"")
        ])
        #expect(
            parsed.transactions == [
                Transaction(
                    transactionID: "18446744073709551615", userID: "42", amount: 12.5,
                    timestampMilliseconds: 1_527_811_200_000, merchantID: "-7", country: "NA",
                    deviceID: "1000000000000000")
            ])
    }

    @Test func aByteOrderMarkIsNoPartOfTheMessage() {
        #expect(ParsedMessages(["\u{FEFF}" + message()]).rejections.isEmpty)
    }

    @Test func timesWithoutAZoneAreOfTheNamedOne() {
        let naive = message(timestamp: "\"2018-06-01 02:00:00\"")
        #expect(ParsedMessages([naive]).rejections.map(\.reason) == [.badTimestamp])
        let zone = PlaceZone(name: "Europe/Amsterdam", offsets: [(start: .min, offset: 7_200_000)])
        let parsed = ParsedMessages([naive], parser: TransactionParser(zone: zone))
        #expect(parsed.batch.timestampMilliseconds == [1_527_811_200_000])
    }

    @Test func theLastOfSeveralMembersWithOneNameCounts() {
        let parsed = ParsedMessages([
            message("\"amount\":1,\"user_id\":\"last\",\"category\":\"a\",\"category\":null"),
            message("\"amount\":\"no number\""),
            // The name counts as it is read, not as it is written.
            message("\"\\u0061mount\":7"),
        ])
        #expect(parsed.transactions.map(\.amount) == [1, 7])
        #expect(parsed.transactions[0].userID == "last")
        #expect(parsed.transactions[0].category == nil)
        #expect(parsed.rejections.map(\.reason) == [.wrongType])
    }

    @Test func anythingElseIsIgnored() {
        let parsed = ParsedMessages([
            message("\"is_fraud\":1,\"x\":{\"amount\":[1,2,{\"user_id\":null}]},\"Amount\":\"9\",\"\":true"),
            message("\"card\":123456789012345678901234567890,\"huge\":1e999,\"tiny\":1e-999"),
        ])
        #expect(parsed.rejections.isEmpty)
        #expect(parsed.transactions.map(\.amount) == [12.5, 12.5])
    }

    @Test func readsNumbersOfEverySize() {
        let numbers = [
            "0", "-0", "18446744073709551615", "-9223372036854775808", "123456789012345678901234567890",
            "1e-999",
            "1.7976931348623157e308", "5e-324", "0.1", "1E5",
        ]
        let parsed = ParsedMessages(numbers.map { message(amount: $0) })
        #expect(parsed.rejections.isEmpty)
        #expect(parsed.transactions.map(\.amount) == numbers.map { Double($0) ?? .nan })
    }

    @Test func readsTimestampsInBothForms() {
        let timestamps = [
            "\"2018-06-01T02:00:00.250+02:00\"", "1527811200250", "1527811200250.75",
            "\"2018-05-31t23:59:60.25z\"", "1527811200.25", "1527811200250999", "1527811200250999999",
            "\"1.52781120025E+12\"", "\"2018-06-01 00:00:00.25+00\"", "\"2018-06-01 02:00:00.2509 +0200\"",
            "\"2018-06-01 00:00:00.250 UTC\"",
        ]
        let parsed = ParsedMessages(timestamps.map { message(timestamp: $0) })
        #expect(parsed.rejections.isEmpty)
        #expect(
            parsed.transactions.map(\.timestampMilliseconds)
                == Array(repeating: 1_527_811_200_250, count: timestamps.count))
    }

    @Test func rowsAndRejectionsKnowTheirMessage() {
        let parsed = ParsedMessages(["", message(), "[]", message(userID: "\"ü\""), "{"])
        #expect(parsed.batch.messageIndex == [1, 3])
        #expect(parsed.rejections.map(\.messageIndex) == [0, 2, 4])
        #expect(parsed.transactions.map(\.userID) == ["u1", "ü"])
    }

    @Test func appendsToABatch() {
        let parser = TransactionParser()
        var parsed = ParsedMessages([message(userID: "\"first\"", "\"category\":\"a\"")], parser: parser)
        parsed.batch.append(
            Transaction(
                transactionID: "t", userID: "second", amount: 1, timestampMilliseconds: 5, category: "b"))
        let bytes = Array(message(userID: "\"third\"", "\"category\":\"c\"").utf8)
        let rejections = bytes.withUnsafeBytes { parser.parse([$0], into: &parsed.batch) }
        #expect(rejections.isEmpty)
        #expect(parsed.transactions.map(\.userID) == ["first", "second", "third"])
        #expect(parsed.transactions.map(\.category) == ["a", "b", "c"])
        #expect(
            (0..<3).allSatisfy { parsed.batch.hash(.category, $0) == TextHash.hash(["a", "b", "c"][$0]) })
        parsed.batch.removeAll(keepingCapacity: true)
        #expect(parsed.batch.count == 0)
    }

    @Test func copiesOfABatchAreIndependent() {
        let parsed = ParsedMessages([message()])
        var copy = parsed.batch
        copy.amount[0] = 1
        copy.append(Transaction(transactionID: "t", userID: "u", amount: 1, timestampMilliseconds: 5))
        #expect(parsed.batch.count == 1)
        #expect(parsed.batch.amount == [12.5])
    }

    @Test func unescapesTexts() {
        let parsed = ParsedMessages([message(userID: "\"a\\u00e9\\n\\\"\\\\\\/\\ud83d\\ude00\"")])
        #expect(parsed.transactions.map(\.userID) == ["aé\n\"\\/😀"])
    }
}
