import Transactions

/// Messages parsed as one batch.
struct ParsedMessages {
    var batch = TransactionBatch()
    var rejections: [Rejection] = []

    init(_ messages: [String], parser: TransactionParser = TransactionParser()) {
        self.init(messages.map { Array($0.utf8) }, parser: parser)
    }

    init(_ messages: [[UInt8]], parser: TransactionParser = TransactionParser()) {
        // Each in memory of its own and of its own size, so that reading past its end is noticed by a sanitizer.
        let copies = messages.map { message in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: message.count, alignment: 1)
            copy.copyBytes(from: message)
            return copy
        }
        rejections = parser.parse(copies.map { UnsafeRawBufferPointer($0) }, into: &batch)
        for copy in copies { copy.deallocate() }
    }

    var transactions: [Transaction] { (0..<batch.count).map { batch.transaction($0) } }
}

/// A message with the required fields, and what else is given.
func message(
    transactionID: String = "\"t1\"", userID: String = "\"u1\"", amount: String = "12.5",
    timestamp: String = "\"2018-06-01T00:00:00Z\"", _ more: String = ""
) -> String {
    "{\"transaction_id\":\(transactionID),\"user_id\":\(userID),\"amount\":\(amount),\"timestamp\":\(timestamp)"
        + (more.isEmpty ? "}" : ",\(more)}")
}
