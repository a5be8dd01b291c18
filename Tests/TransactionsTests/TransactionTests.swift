import Randomness
import Testing
import Transactions

@Suite struct TransactionTests {
    @Test func jsonIsOneCanonicalLine() {
        let transaction = Transaction(
            transactionID: "t\n1", userID: "u\"1\\", amount: 0.1, timestampMilliseconds: 1_527_811_200_001,
            currency: "EUR", category: "é\u{1}", latitude: 48, longitude: -0.5)
        let expected =
            #"{"transaction_id":"t\u000a1","user_id":"u\"1\\","amount":0.1,"timestamp":"2018-06-01T00:00:00.001Z","#
            + #""currency":"EUR","category":"é\u0001","latitude":48.0,"longitude":-0.5}"#
        #expect(transaction.json() == expected)
    }

    @Test func parsesBackToItself() {
        var random = Randomness()
        let transactions = (0..<3000).map { _ in Transaction.random(&random) }
        let parsed = ParsedMessages(transactions.map { $0.json() })
        #expect(parsed.rejections.isEmpty)
        #expect(parsed.transactions == transactions)
        #expect(parsed.transactions.map { $0.json() } == transactions.map { $0.json() })
    }

    @Test func appendingGivesWhatParsingGives() {
        var random = Randomness()
        let transactions = (0..<100).map { _ in Transaction.random(&random) }
        let parsed = ParsedMessages(transactions.map { $0.json() }).batch
        var appended = TransactionBatch()
        for transaction in transactions { appended.append(transaction) }
        #expect((0..<appended.count).map { appended.transaction($0) } == transactions)
        #expect(appended.messageIndex == parsed.messageIndex)
        let sameHashes = (0..<appended.count).allSatisfy { row in
            TextField.allCases.allSatisfy { appended.hash($0, row) == parsed.hash($0, row) }
        }
        #expect(sameHashes)
    }
}

extension Transaction {
    /// Any that the parser accepts.
    static func random(_ random: inout Randomness) -> Transaction {
        let range = EventTime.acceptedMilliseconds
        return Transaction(
            transactionID: text(1...40, &random), userID: text(1...40, &random),
            amount: amount(&random), timestampMilliseconds: .random(in: range, using: &random),
            currency: optional(&random), merchantID: optional(&random), category: optional(&random),
            country: optional(&random), channel: optional(&random), deviceID: optional(&random),
            latitude: random.chance(50) ? .random(in: -90...90, using: &random) : nil,
            longitude: random.chance(50) ? .random(in: -180...180, using: &random) : nil)
    }

    private static func amount(_ random: inout Randomness) -> Double {
        if random.chance(50) { return Double(random.below(1_000_000)) / 100 }
        let any = Double(bitPattern: random.next())
        return any.isFinite ? any : 0
    }

    /// An empty text is a missing one.
    private static func optional(_ random: inout Randomness) -> String? {
        random.chance(50) ? text(1...40, &random) : nil
    }

    private static func text(_ length: ClosedRange<Int>, _ random: inout Randomness) -> String {
        let scalars: [Unicode.Scalar] = [
            "a", "b", "0", " ", "\"", "\\", "/", "\n", "\u{1}", "é", "漢", "😀", "\u{301}",
        ]
        var text = ""
        for _ in 0..<Int.random(in: length, using: &random) {
            text.unicodeScalars.append(scalars[random.below(scalars.count)])
        }
        return text
    }
}
