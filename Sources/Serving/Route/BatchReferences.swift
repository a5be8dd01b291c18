import Features
import Metrics
import Models
import Outcomes
import Transactions

/// The table that a batch was scored with, and from what age on its verdicts say so.
public struct BatchReferences: Sendable {
    public let ready: ReadyReferences
    public let staleMilliseconds: Int64

    /// - Parameter ageHours: From what age on verdicts say that the table is old. Hours, of event time.
    init(ready: ReadyReferences, ageHours: Int) {
        self.ready = ready
        staleMilliseconds = Int64(ageHours) * 3_600_000
    }

    /// Whether the table knew nothing of the last hours or days before a transaction.
    func isStale(at eventMilliseconds: Int64) -> Bool {
        eventMilliseconds - ReferenceTime.milliseconds(of: ready.table.step) > staleMilliseconds
    }
}

extension RoutedBatch {
    /// With what the reference table says of each transaction's merchant, device, country, category and user filled in, where
    /// a model of the batch looks at it. Without a table these features stay missing.
    ///
    /// - Parameters:
    ///   - references: Taken once a batch, so that all its verdicts name one table.
    ///   - global: A user's own model that fails falls back to it, and it must find its features.
    consuming func referring(to references: BatchReferences?, global: ReadyModel?) -> RoutedBatch {
        let isUsed =
            global?.plan.usesReferences ?? false || groups.contains { $0.model.plan.usesReferences }
        guard isUsed else { return self }
        guard let references else {
            Counter(label: "ml_transactions_without_references_total").increment(by: windowed.count)
            return self
        }
        windowed.refer(to: references)
        return self
    }
}

extension WindowedBatch {
    fileprivate mutating func refer(to references: BatchReferences) {
        let transactions = consumed.transactions
        let users = userHashes
        let slots = slots
        let width = UserWindow.featureCount
        let table = references.ready.table
        features.withUnsafeMutableBufferPointer { features in
            for row in 0..<transactions.count {
                let keys = ReferenceKeys(
                    merchant: transactions.hash(.merchantID, row), device: transactions.hash(.deviceID, row),
                    country: transactions.hash(.country, row), category: transactions.hash(.category, row),
                    user: users[Int(slots[row])])
                table.entries(keys).writeFeatures(
                    into: UnsafeMutableBufferPointer(rebasing: features[row * width..<(row + 1) * width]))
            }
        }
        self.references = references
    }
}
