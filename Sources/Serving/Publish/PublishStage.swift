import Crypto
import Features
import Models
import Transactions

/// Which verdicts are published.
public enum PublishedVerdicts: String, Sendable, CaseIterable {
    case anomalies
    case all
}

/// Stage 5: the verdicts to publish, as JSON keyed by user.
///
/// A payload is a pure function of the transaction, its user's window and the model: no clock, no host.
public func verdicts(_ scored: ScoredBatch, publish: PublishedVerdicts) -> OutputRecords {
    let models = scored.groups.map(ModelReference.init)
    var records = OutputRecords()
    for row in 0..<scored.count {
        let isAnomaly = scored.isAnomaly(row)
        guard isAnomaly || publish == .all else { continue }
        scored.windowed.consumed.transactions.withText(.userID, row) { user in
            guard let user else { preconditionFailure("a parsed transaction has a user") }
            records.append(key: user) { bytes in
                var json = JSONWriter(reusing: bytes)
                bytes = []
                writeVerdict(scored, row: row, model: models[Int(scored.groupIndex[row])], into: &json)
                bytes = json.bytes
            }
        }
    }
    return records
}

/// The parts of a verdict that all transactions of a group share.
private struct ModelReference {
    let tenant: String
    let group: RouteGroup

    init(_ group: RouteGroup) {
        tenant = group.model.tenant.description
        self.group = group
    }
}

private func writeVerdict(_ scored: ScoredBatch, row: Int, model: ModelReference, into json: inout JSONWriter)
{
    let consumed = scored.windowed.consumed
    let transactions = consumed.transactions
    let ready = model.group.model
    json.beginObject()
    transactions.withText(.transactionID, row) { if let text = $0 { json.field("transaction_id", text) } }
    transactions.withText(.userID, row) { if let text = $0 { json.field("user_id", text) } }
    json.field("verdict", scored.isAnomaly(row) ? "ANOMALY" : "NORMAL")
    json.field("score", scored.scores[row])
    json.field("threshold", ready.threshold)
    if let severity = scored.severity(row) {
        json.field("severity", severity)
    } else {
        json.nullField("severity")
    }
    json.beginObject("model")
    json.field("tenant", model.tenant)
    json.field("version", Int64(ready.version))
    json.field("detector", ready.header.detectorID)
    json.field("sha256", ready.sha256)
    json.endObject()
    if let fallback = model.group.fallback {
        json.field("fallback", fallback.rawValue)
    } else {
        json.nullField("fallback")
    }
    json.beginArray("reasons")
    for reason in scored.reasons[Int32(row)] ?? [] { writeReason(reason, into: &json) }
    json.endArray()
    json.beginArray("marks")
    for (mark, name) in TransactionMarks.names where scored.windowed.marks[row].contains(mark) {
        json.element(name)
    }
    json.endArray()
    json.field("features_sha256", featuresDigest(scored.windowed, row: row))
    let source = consumed.slices[Int(consumed.sliceIndex[row])].source
    json.beginObject("source")
    json.field("topic", source.topic)
    json.field("partition", Int64(source.partition))
    json.field("offset", consumed.offsets[row])
    json.endObject()
    json.field("event_time", EventTime.format(transactions.timestampMilliseconds[row]))
    json.endObject()
}

private func writeReason(_ reason: FeatureReason, into json: inout JSONWriter) {
    json.beginObject()
    json.field("name", reason.name)
    json.field("value", reason.value)
    json.field("usual", reason.usual)
    json.field("contribution", reason.contribution)
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
private func featuresDigest(_ windowed: WindowedBatch, row: Int) -> String {
    var hasher = SHA256()
    let width = UserWindow.featureCount
    for value in windowed.features[row * width..<(row + 1) * width] {
        let bits = (value.isNaN ? Float.nan : value).bitPattern.littleEndian
        withUnsafeBytes(of: bits) { hasher.update(bufferPointer: $0) }
    }
    for (_, field) in FeatureSchema.categorical {
        windowed.consumed.transactions.withText(field, row) { text in
            withUnsafeBytes(of: Int32(text?.count ?? -1).littleEndian) { hasher.update(bufferPointer: $0) }
            if let text { hasher.update(bufferPointer: UnsafeRawBufferPointer(text)) }
        }
    }
    return hasher.finalize().map { byte in
        let digits = Array("0123456789abcdef")
        return "\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }.joined()
}
