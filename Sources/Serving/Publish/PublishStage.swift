import Crypto
import Exact
import Features
import Models
import Transactions

/// Which verdicts are published.
public enum PublishedVerdicts: String, Sendable, CaseIterable {
    case anomalies
    case all
}

/// Stage 5: what a batch gives to the outside. Thread-safe.
public struct PublishStage: Sendable {
    private let publish: PublishedVerdicts
    private let eventGroups: AlertGroups?

    /// - Parameter eventGroups: Each verdict says what it is among events, see `EventIdentity`; nil: it does not.
    public init(publish: PublishedVerdicts = .anomalies, eventGroups: AlertGroups? = nil) {
        self.publish = publish
        self.eventGroups = eventGroups
    }

    public func run(_ scored: ScoredBatch) -> Delivery {
        let consumed = scored.windowed.consumed
        return Delivery(
            verdicts: verdicts(scored, publish: publish, eventGroups: eventGroups),
            deadLetters: consumed.deadLetters, slices: consumed.slices, assignment: consumed.assignment)
    }
}

/// The verdicts to publish, as JSON keyed by user.
///
/// A payload is a pure function of the transaction, its user's window and the model: no clock, no host.
///
/// - Parameters:
///   - rows: Exactly these transactions; nil: those that `publish` and the rules say.
///   - eventGroups: Each record says what it is among events, see `EventIdentity`; nil: it does not.
///   - namesSource: false: `source` is null, as the transactions are not in the stream.
public func verdicts(
    _ scored: ScoredBatch, publish: PublishedVerdicts, rows: [Int]? = nil, eventGroups: AlertGroups? = nil,
    namesSource: Bool = true
) -> OutputRecords {
    var writer = VerdictWriter(scored, namesSource: namesSource)
    var records = OutputRecords()
    let consumed = scored.windowed.consumed
    for row in rows ?? (0..<scored.count).filter({ scored.isPublished($0, publish) }) {
        writer.transactions.withText(.userID, row) { user in
            guard let user else { preconditionFailure("a parsed transaction has a user") }
            records.append(
                key: user, slice: consumed.sliceIndex[row], offset: consumed.offsets[row],
                identity: eventGroups.map { writer.identity(row, user: user, groups: $0) },
                trace: consumed.traces[Int32(truncatingIfNeeded: row)]
            ) { bytes in
                var json = JSONWriter(reusing: bytes)
                bytes = []
                writer.write(row, user: user, into: &json)
                bytes = json.take()
            }
        }
    }
    return records
}

/// Writes the verdicts of one batch. What its transactions share is looked up, or written, once.
private struct VerdictWriter {
    let transactions: TransactionBatch
    private let scored: ScoredBatch
    private let consumed: ConsumedBatch
    /// Made when a verdict of the group is first written: few have one where anomalies alone are published.
    private var groups: [Group?]
    /// For each slice, all of `source` but the offset; nil: `source` is null.
    private let sources: [[UInt8]]?
    private var digest = FeaturesDigest()

    /// What the verdicts of a group share: a class, as it is looked up for each of them.
    private final class Group {
        /// Members, as written: before the severity, and behind it.
        let threshold: [UInt8]
        let model: [UInt8]
        let featureRanges: [Range<Int>]
        let usesReferences: Bool
        let isCapped: Bool

        init(_ group: RouteGroup, _ references: BatchReferences?) {
            threshold = thresholdMember(group)
            model = modelMembers(group, references)
            let plan = group.model.plan
            featureRanges = plan.featureRanges
            usesReferences = plan.usesReferences
            isCapped = group.model.brief.uncappedThreshold != nil
        }
    }

    init(_ scored: ScoredBatch, namesSource: Bool) {
        self.scored = scored
        consumed = scored.windowed.consumed
        transactions = consumed.transactions
        groups = Array(repeating: nil, count: scored.groups.count)
        sources = namesSource ? consumed.slices.map(Self.sourceMember) : nil
    }

    private mutating func group(of row: Int) -> Group {
        let index = Int(scored.groupIndex[row])
        if let group = groups[index] { return group }
        let group = Group(scored.groups[index], scored.windowed.references)
        groups[index] = group
        return group
    }

    private static func thresholdMember(_ group: RouteGroup) -> [UInt8] {
        var json = JSONWriter()
        json.field("threshold", group.model.threshold)
        return json.bytes
    }

    private static func sourceMember(_ slice: PartitionSlice) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject("source")
        json.field("topic", slice.source.topic)
        json.field("partition", Int64(slice.source.partition))
        return json.bytes
    }

    private static func modelMembers(_ group: RouteGroup, _ references: BatchReferences?) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject("model")
        json.field("tenant", group.model.tenant.description)
        json.field("version", Int64(group.model.version))
        json.field("detector", group.model.brief.detectorID)
        json.field("sha256", group.model.sha256)
        json.endObject()
        if let fallback = group.fallback {
            json.field("fallback", fallback.rawValue)
        } else {
            json.nullField("fallback")
        }
        // Named where the model looks at it.
        if let references, group.model.plan.usesReferences {
            json.beginObject("reference")
            json.field("version", Int64(references.ready.version))
            json.field("sha256", references.ready.sha256)
            json.endObject()
        } else {
            json.nullField("reference")
        }
        return json.bytes
    }

    func identity(
        _ row: Int, user: UnsafeBufferPointer<UInt8>, groups: AlertGroups
    ) -> EventIdentity {
        let model = scored.groups[Int(scored.groupIndex[row])].model
        let time = transactions.timestampMilliseconds[row]
        return EventIdentity(
            id: "\(transactions.text(.transactionID, row) ?? "")@\(model.sha256.prefix(16))",
            isAnomaly: scored.isAnomaly(row), timeMilliseconds: time,
            group: scored.isAlert(row) ? groups.id(user: user, timeMilliseconds: time) : nil)
    }

    mutating func write(_ row: Int, user: UnsafeBufferPointer<UInt8>, into json: inout JSONWriter) {
        json.beginObject()
        transactions.withText(.transactionID, row) { if let text = $0 { json.field("transaction_id", text) } }
        json.field("user_id", user)
        json.field("verdict", scored.isAnomaly(row) ? "ANOMALY" : "NORMAL")
        json.field("score", scored.scores[row])
        let group = group(of: row)
        json.members(group.threshold)
        if let severity = scored.severity(row) {
            json.field("severity", severity)
        } else {
            json.nullField("severity")
        }
        json.members(group.model)
        json.beginArray("reasons")
        if let reasons = scored.reasons[Int32(row)] {
            for reason in reasons { writeReason(reason, into: &json) }
        }
        json.endArray()
        json.beginArray("marks")
        let marks = scored.windowed.marks[row]
        for (mark, name) in TransactionMarks.names where marks.contains(mark) { json.element(name) }
        if group.isCapped { json.element("capped") }
        if group.usesReferences { writeReferenceMark(row, into: &json) }
        json.endArray()
        writeRule(row, into: &json)
        let sha256 = digest.of(row, scored.windowed.features, group.featureRanges, transactions)
        json.field("features_sha256") { text in sha256.withUnsafeBytes { Hex.append($0, to: &text) } }
        writeSource(row, into: &json)
        json.field("event_time") { TimeText.append(transactions.timestampMilliseconds[row], to: &$0) }
        json.endObject()
    }

    /// Named where one decides, so that without rules verdicts are what they are.
    private func writeRule(_ row: Int, into json: inout JSONWriter) {
        guard let rule = scored.rule(row), let set = scored.rules?.set else { return }
        if rule.action == .alert {
            json.field("alerted_by", rule.id)
        } else {
            json.field("suppressed_by", rule.id)
        }
        json.beginObject("rules")
        json.field("version", Int64(set.version))
        json.field("sha256", set.sha256 ?? "")
        json.endObject()
    }

    private func writeSource(_ row: Int, into json: inout JSONWriter) {
        guard let sources else { return json.nullField("source") }
        json.members(sources[Int(consumed.sliceIndex[row])])
        json.field("offset", consumed.offsets[row])
        json.endObject()
    }

    private func writeReferenceMark(_ row: Int, into json: inout JSONWriter) {
        guard let references = scored.windowed.references else { return json.element("reference-missing") }
        if references.isStale(at: transactions.timestampMilliseconds[row]) { json.element("reference-stale") }
    }
}

private func writeReason(_ reason: FeatureReason, into json: inout JSONWriter) {
    json.beginObject()
    json.field("name", reason.name)
    json.field("value", reason.value)
    json.field("usual", reason.usual)
    json.field("contribution", reason.contribution)
    json.field("sentence", reason.sentence)
    json.endObject()
}

extension JSONWriter {
    fileprivate mutating func field(_ name: StaticString, _ value: FeatureReason.Value) {
        switch value {
        case .number(let number): field(name, number)
        case .text(let text): field(name, text)
        case .missing: nullField(name)
        }
    }
}

/// SHA-256 of what the model saw before preprocessing: the numeric features as little-endian Float, NaN as
/// its one canonical pattern, then each category as its length (4 bytes, little-endian, -1 when missing) and text.
private struct FeaturesDigest {
    /// One row's, kept from row to row: two updates of the hash are cheaper than one a feature.
    private var numbers: [UInt32] = []
    private var texts: [UInt8] = []

    /// - Parameter ranges: Where the numeric features are that the model may look at.
    mutating func of(
        _ row: Int, _ features: [Float], _ ranges: [Range<Int>], _ transactions: TransactionBatch
    ) -> SHA256.Digest {
        numbers.removeAll(keepingCapacity: true)
        let start = row * UserWindow.featureCount
        features.withUnsafeBufferPointer { features in
            for range in ranges {
                for place in start + range.lowerBound..<start + range.upperBound {
                    let value = features[place]
                    numbers.append((value.isNaN ? Float.nan : value).bitPattern.littleEndian)
                }
            }
        }
        texts.removeAll(keepingCapacity: true)
        for (_, field) in FeatureSchema.categorical {
            transactions.withText(field, row) { text in
                withUnsafeBytes(of: Int32(text?.count ?? -1).littleEndian) { texts.append(contentsOf: $0) }
                if let text { texts.append(contentsOf: text) }
            }
        }
        var hasher = SHA256()
        numbers.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        texts.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return hasher.finalize()
    }
}
