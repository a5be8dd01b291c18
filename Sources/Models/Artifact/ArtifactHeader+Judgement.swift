import Exact

/// The members of the header that say how a model was chosen, let through and what it was trained on. Those that have
/// nothing to say are left out, so that artifacts from before there were any keep their bytes.
extension JSONWriter {
    mutating func append(candidates: [CandidateJudgement]) {
        list(candidates) { json, candidate in
            json.append("{\"features\":")
            json.append(text: candidate.features)
            json.append(candidate.isChosen ? ",\"isChosen\":true" : ",\"isChosen\":false")
            json.append(",\"measures\":")
            json.numbers(candidate.measures)
            json.append(",\"name\":")
            json.append(text: candidate.name)
            if let note = candidate.note {
                json.append(",\"note\":")
                json.append(text: note)
            }
            json.append("}")
        }
    }

    mutating func append(gate: [GateCheck]) {
        list(gate) { json, check in
            json.append("{\"bound\":")
            json.append(text: check.bound.rawValue)
            json.append(",\"limit\":")
            json.append(exactly: check.limit)
            json.append(",\"name\":")
            json.append(text: check.name)
            json.append(",\"value\":")
            json.append(exactly: check.value)
            json.append("}")
        }
    }

    mutating func append(deciles: [HoldoutDecile]) {
        list(deciles) { json, decile in
            json.append("[")
            for number in [decile.rows, decile.frauds, decile.injected] {
                json.append(number)
                json.append(",")
            }
            json.append(exactly: decile.highestScore)
            json.append("]")
        }
    }

    mutating func append(profile: TrainingProfile) {
        append("{\"features\":{")
        for (place, feature) in profile.features.sorted(by: { $0.key < $1.key }).enumerated() {
            if place > 0 { append(",") }
            append(text: feature.key)
            append(":")
            append(feature.value)
        }
        append("},\"scores\":")
        append(profile.scores)
        append("}")
    }

    private mutating func append(_ histogram: Histogram) {
        append("{\"edges\":")
        list(histogram.edges) { $0.append(exactly: $1) }
        append(",\"missing\":")
        append(exactly: histogram.missing)
        append(",\"shares\":")
        list(histogram.shares) { $0.append(exactly: $1) }
        append("}")
    }

    private mutating func numbers(_ members: [String: Double]) {
        append("{")
        for (place, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
            if place > 0 { append(",") }
            append(text: member.key)
            append(":")
            append(exactly: member.value)
        }
        append("}")
    }

    private mutating func list<Element>(_ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
        append("[")
        for (place, element) in elements.enumerated() {
            if place > 0 { append(",") }
            write(&self, element)
        }
        append("]")
    }
}

extension CandidateJudgement {
    init(from reader: inout JSONReader) throws {
        var (name, features, note): (String?, String?, String?)
        var measures: [String: Double]?
        var isChosen = false
        try reader.object { reader, member in
            switch member {
            case "name": name = try reader.text()
            case "features": features = try reader.text()
            case "measures": measures = try reader.dictionary { try $0.number() }
            case "isChosen": isChosen = try reader.flag()
            case "note": note = try reader.optional { try $0.text() }
            default: try reader.skip()
            }
        }
        guard let name, let features, let measures else {
            throw JSONReader.Malformed(description: "a candidate lacks a member")
        }
        self.init(name: name, features: features, measures: measures, isChosen: isChosen, note: note)
    }
}

extension GateCheck {
    init(from reader: inout JSONReader) throws {
        var name: String?
        var (value, limit): (Double?, Double?)
        var bound: Bound?
        try reader.object { reader, member in
            switch member {
            case "name": name = try reader.text()
            case "value": value = try reader.number()
            case "limit": limit = try reader.number()
            case "bound": bound = Bound(rawValue: try reader.text())
            default: try reader.skip()
            }
        }
        guard let name, let value, let limit, let bound else {
            throw JSONReader.Malformed(description: "a check of the gate lacks a member")
        }
        self.init(name, value, bound, limit)
    }
}

extension HoldoutDecile {
    /// `[rows, frauds, injected, highest score]`
    init(from reader: inout JSONReader) throws {
        var counts: [Int] = []
        var score: Double?
        try reader.array { reader in
            if counts.count < 3 { counts.append(try reader.integer()) } else { score = try reader.number() }
        }
        guard counts.count == 3, let score, counts.allSatisfy({ $0 >= 0 }) else {
            throw JSONReader.Malformed(description: "a decile of the holdout lacks a number")
        }
        self.init(rows: counts[0], frauds: counts[1], injected: counts[2], highestScore: score)
    }
}

extension TrainingProfile {
    init(from reader: inout JSONReader) throws {
        var scores: Histogram?
        var features: [String: Histogram]?
        try reader.object { reader, member in
            switch member {
            case "scores": scores = try Histogram(from: &reader)
            case "features": features = try reader.dictionary { try Histogram(from: &$0) }
            default: try reader.skip()
            }
        }
        guard let scores, let features else {
            throw JSONReader.Malformed(description: "the profile lacks a member")
        }
        self.init(scores: scores, features: features)
    }
}

extension Histogram {
    fileprivate init(from reader: inout JSONReader) throws {
        var (edges, shares): ([Double]?, [Double]?)
        var missing: Double?
        try reader.object { reader, member in
            switch member {
            case "edges": edges = try reader.elements { try $0.number() }
            case "shares": shares = try reader.elements { try $0.number() }
            case "missing": missing = try reader.number()
            default: try reader.skip()
            }
        }
        guard let edges, let shares, let missing,
            let histogram = Histogram(edges: edges, shares: shares, missing: missing)
        else { throw JSONReader.Malformed(description: "a histogram is out of order or range") }
        self = histogram
    }
}
