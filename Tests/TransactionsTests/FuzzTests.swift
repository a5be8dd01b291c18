import Randomness
import Testing
import Torture
import Transactions

/// Messages with random damage: each is either a sound transaction or rejected, and nothing is read out of bounds
/// (run with `--sanitize=address` to be told).
@Suite struct FuzzTests {
    @Test func tortureTransactions() throws {
        let parser = TransactionParser()
        var random = Randomness()
        let sound = (0..<20).map { _ in Array(Transaction.random(&random).json().utf8) }
        try Torture("transactions").run(rounds: 400) { random in
            let messages = (0..<50).map { _ in Mutation.apply(to: Mutation.pick(sound, &random), &random) }
            let parsed = ParsedMessages(messages, parser: parser)
            guard parsed.batch.count + parsed.rejections.count == messages.count else {
                throw Torture.Failure("lost messages")
            }
            for row in 0..<parsed.batch.count where !parsed.batch.isSound(row) {
                throw Torture.Failure(
                    String(decoding: messages[Int(parsed.batch.messageIndex[row])], as: UTF8.self))
            }
            return parsed.batch.count > 0 ? .accepted : .refused
        }
    }

    @Test func everyTruncationIsRejected() {
        var random = Randomness()
        let whole = Array(Transaction.random(&random).json().utf8)
        let parsed = ParsedMessages(whole.indices.map { Array(whole[..<$0]) })
        #expect(parsed.rejections.count == whole.count)
    }

    @Test func randomBytesAreRejected() {
        var random = Randomness()
        let messages = (0..<2000).map { _ in
            (0..<random.below(300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        #expect(ParsedMessages(messages).rejections.count == messages.count)
    }
}

extension TransactionBatch {
    /// Everything holds that the parser promises of a row.
    fileprivate func isSound(_ row: Int) -> Bool {
        let texts = TextField.allCases.allSatisfy { field in
            withText(field, row) { bytes in
                guard let bytes else { return hash(field, row) == 0 }
                return String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0)
                    && bytes.count <= 1024 && hash(field, row) == TextHash.hash(UnsafeRawBufferPointer(bytes))
            }
        }
        let userID = withText(.userID, row) { $0?.count ?? 0 }
        let transactionID = withText(.transactionID, row) { $0?.count ?? 0 }
        let hasPlace = !(latitude[row].magnitude > 90) && !(longitude[row].magnitude > 180)
        return texts && (1...256).contains(userID) && (1...256).contains(transactionID)
            && amount[row].isFinite
            && EventTime.acceptedMilliseconds.contains(timestampMilliseconds[row]) && hasPlace
    }
}
