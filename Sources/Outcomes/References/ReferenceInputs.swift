import Crypto
import Exact
import Lake

/// The files of the lake that references are made from: for each day a hash of their names and contents.
struct ReferenceInputs: Sendable, Equatable {
    var transactions: [LakeDay: UInt64] = [:]
    var labels: [LakeDay: UInt64] = [:]

    init() {}

    /// - Parameter zone: Of times that do not say theirs: in another the same files say something else.
    init(transactions: [LakeDay: [LakeFile]], labels: [LakeDay: [LakeFile]], zone: PlaceZone?) {
        self.transactions = transactions.mapValues { Self.hash($0, zone?.name ?? "") }
        self.labels = labels.mapValues { Self.hash($0, "") }
    }

    private static func hash(_ files: [LakeFile], _ zone: String) -> UInt64 {
        var hash = SHA256()
        hash.update(data: Array("\(zone)\n".utf8))
        for file in files { hash.update(data: Array("\(file.key) \(file.tag.text)\n".utf8)) }
        return hash.finalize().withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    func before(_ day: LakeDay) -> ReferenceInputs {
        var inputs = ReferenceInputs()
        inputs.transactions = transactions.filter { $0.key < day }
        inputs.labels = labels.filter { $0.key < day }
        return inputs
    }

    /// Whether what was made from these files, all before a day, is what those that there are now would give.
    ///
    /// Days that the lake has let go of at its beginning count as they were: a lake that keeps a year loses one every
    /// day.
    func areThose(of now: ReferenceInputs, before day: LakeDay) -> Bool {
        let now = now.before(day)
        guard let first = now.transactions.keys.min() else { return false }
        func areSame(_ then: [LakeDay: UInt64], _ now: [LakeDay: UInt64]) -> Bool {
            now.allSatisfy { then[$0.key] == $0.value }
                && then.keys.allSatisfy { now[$0] != nil || $0 < first }
        }
        return areSame(transactions, now.transactions) && areSame(labels, now.labels)
    }
}
