import Exact
import Features

extension ArtifactHeader {
    /// Canonical: sorted names and the shortest digits that give a number back, so that the same header gives the same
    /// bytes. Every user's artifact has a header, so columns are arrays without names: `["amount", centre, scale]` with
    /// what is usual fourth where it is not the centre, and `["country", usual, category, ...]`. What is nil is left out.
    func json() -> [UInt8] {
        var json = JSONWriter()
        json.reserveCapacity(Self.usualJSONBytes)
        json.append("{")
        if !candidates.isEmpty {
            json.append("\"candidates\":")
            json.append(candidates: candidates)
            json.append(",")
        }
        json.append("\"contamination\":")
        json.append(exactly: contamination)
        json.append(",\"createdMilliseconds\":")
        json.append(createdMilliseconds)
        if !deciles.isEmpty {
            json.append(",\"deciles\":")
            json.append(deciles: deciles)
        }
        json.member(",\"detectorID\":", detectorID)
        json.member(",\"detectorSHA256\":", detectorSHA256)
        json.member(",\"detectorVersion\":", detectorVersion)
        if !gate.isEmpty {
            json.append(",\"gate\":")
            json.append(gate: gate)
        }
        json.member(",\"jobID\":", jobID)
        if let labelsAsOfMilliseconds {
            json.append(",\"labelsAsOfMilliseconds\":")
            json.append(labelsAsOfMilliseconds)
        }
        json.append(",\"metrics\":")
        json.object(metrics) { $0.append(exactly: $1) }
        json.append(",\"parameters\":")
        json.object(parameters) { $0.append(text: $1) }
        if let parent {
            json.append(",\"parent\":")
            json.append(parent)
        }
        json.member(",\"payloadSHA256\":", payloadSHA256)
        json.append(",\"preprocessing\":")
        json.append(preprocessing)
        if let profile {
            json.append(",\"profile\":")
            json.append(profile: profile)
        }
        json.append(",\"rowCount\":")
        json.append(rowCount)
        json.append(",\"seed\":")
        json.append(seed)
        if let severity {
            json.append(",\"severity\":")
            json.append(severity)
        }
        if let source {
            json.member(",\"source\":{\"file\":", source.file)
            json.member(",\"producer\":", source.producer)
            json.member(",\"sha256\":", source.sha256)
            json.append("}")
        }
        json.append(",\"threshold\":")
        json.append(exactly: threshold)
        json.member(",\"trainingRange\":{\"from\":", trainingRange.from)
        json.member(",\"to\":", trainingRange.to)
        json.append("}")
        if let uncappedThreshold {
            json.append(",\"uncappedThreshold\":")
            json.append(exactly: uncappedThreshold)
        }
        json.member(",\"userID\":", userID)
        json.append(",\"version\":")
        json.append(version)
        json.append("}")
        return json.bytes
    }
}

extension ArtifactHeader {
    /// A user's header has about 3 KB.
    fileprivate static var usualJSONBytes: Int { 4_096 }
}

extension JSONWriter {
    /// The shortest digits that give the number back, bit for bit, whole numbers without a point; as a text where JSON
    /// has no number.
    mutating func append(exactly number: Double) {
        if number.isNaN {
            append("\"nan\"")
        } else if number.isInfinite {
            append(number > 0 ? "\"inf\"" : "\"-inf\"")
        } else if let whole = Int(exactly: number), whole.magnitude < 1 << 53,
            number.sign == .plus || whole < 0
        {
            append(whole)
        } else {
            append(number)
        }
    }

    /// A name with what stands before it, and a text; neither when there is none.
    fileprivate mutating func member(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        append(name)
        append(text: value)
    }

    /// Sorted by name.
    fileprivate mutating func object<Value>(
        _ members: [String: Value], _ write: (inout JSONWriter, Value) -> Void
    ) {
        append("{")
        for (place, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
            if place > 0 { append(",") }
            append(text: member.key)
            append(":")
            write(&self, member.value)
        }
        append("}")
    }

    fileprivate mutating func array<Element>(
        _ elements: [Element], _ write: (inout JSONWriter, Element) -> Void
    ) {
        append("[")
        for (place, element) in elements.enumerated() {
            if place > 0 { append(",") }
            write(&self, element)
        }
        append("]")
    }

    fileprivate mutating func append(_ severity: SeverityTable) {
        append("{\"ranks\":")
        array(severity.ranks) { $0.append($1) }
        append(",\"rows\":")
        append(severity.rows)
        append(",\"scale\":")
        append(severity.scale)
        append(",\"scores\":")
        array(severity.scores) { $0.append($1) }
        append(",\"shape\":")
        append(severity.shape)
        append("}")
    }

    fileprivate mutating func append(_ preprocessing: Preprocessing) {
        append("{\"categorical\":")
        array(preprocessing.categorical) { json, columns in
            json.array([columns.feature, columns.usual] + columns.categories) { $0.append(text: $1) }
        }
        if let coldBelow = preprocessing.coldBelow {
            append(",\"coldBelow\":")
            append(coldBelow)
        }
        if preprocessing.encoding != .oneHot {
            append(",\"encoding\":")
            append(text: preprocessing.encoding.rawValue)
        }
        append(",\"numeric\":")
        array(preprocessing.numeric) { json, column in
            json.append("[")
            json.append(text: column.feature)
            json.append(",")
            json.append(exactly: column.centre)
            json.append(",")
            json.append(exactly: column.scale)
            if column.usual.bitPattern != column.centre.bitPattern {
                json.append(",")
                json.append(exactly: column.usual)
            }
            json.append("]")
        }
        append(",\"scaling\":")
        append(text: preprocessing.scaling.rawValue)
        append(",\"schemaVersion\":")
        append(preprocessing.schemaVersion)
        if let unseenAsUsual = preprocessing.unseenAsUsual {
            append(",\"unseenAsUsual\":")
            array(unseenAsUsual) { $0.append(text: $1) }
        }
        append("}")
    }
}
