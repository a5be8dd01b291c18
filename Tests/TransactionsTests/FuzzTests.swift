import Testing
import Transactions

/// Messages with random damage: each is either a sound transaction or rejected, and nothing is read out of bounds
/// (run with `--sanitize=address` to be told).
@Suite struct FuzzTests {
    private static let fragments = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\udfff", "null", "true", "1e999",
        "-", "0",
        "1e-400", "99999999999999999999999", "\u{0}", "\u{7F}", "é", "\u{FEFF}", "\"amount\":",
        "\"user_id\":\"x\"",
        "[[[[[[[[[[", "NaN", "\n", "//", "1527811200000", "\"2018-02-30T00:00:00Z\"",
    ].map { Array($0.utf8) }

    @Test func damagedMessagesAreRejectedOrSound() {
        var random = Randomness()
        let parser = TransactionParser()
        let sound = (0..<20).map { _ in Array(Transaction.random(&random).json().utf8) }
        var faults: [String] = []
        for _ in 0..<200 {
            let messages = (0..<100).map { _ in damaged(sound[random.below(sound.count)], &random) }
            let parsed = ParsedMessages(messages, parser: parser)
            if parsed.batch.count + parsed.rejections.count != messages.count {
                faults.append("lost messages")
            }
            for row in 0..<parsed.batch.count where !parsed.batch.isSound(row) {
                faults.append(String(decoding: messages[Int(parsed.batch.messageIndex[row])], as: UTF8.self))
            }
        }
        #expect(faults.isEmpty)
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

    private func damaged(_ message: [UInt8], _ random: inout Randomness) -> [UInt8] {
        var bytes = message
        for _ in 0...random.below(4) {
            let place = random.below(bytes.count + 1)
            switch random.below(6) {
            case 0 where place < bytes.count: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1 where place < bytes.count: bytes[place] ^= 1 << UInt8(random.below(8))
            case 2: bytes.removeSubrange(place..<min(bytes.count, place + random.below(20)))
            case 3: bytes.insert(contentsOf: Self.fragments[random.below(Self.fragments.count)], at: place)
            case 4:
                let end = min(bytes.count, place + random.below(40))
                bytes.insert(contentsOf: bytes[place..<end], at: random.below(bytes.count + 1))
            default:
                let fragment = Self.fragments[random.below(Self.fragments.count)]
                bytes.replaceSubrange(place..<min(bytes.count, place + fragment.count), with: fragment)
            }
            if bytes.isEmpty { break }
        }
        return bytes
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
