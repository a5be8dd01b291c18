import Features

extension ArtifactHeader {
    /// Reads what `json()` wrote, and what it wrote in artifacts of format 1: columns as objects, like `JSONEncoder`. By
    /// hand, because `JSONDecoder` takes ten times as long, which would be most of loading a model. Members that are not
    /// known are passed over.
    ///
    /// - Parameter isBrief: What scoring has no use for stays empty, see `brief`. For bytes that were read as a whole
    ///   before.
    /// - Throws: When a member is missing or of the wrong type.
    init(json: UnsafeRawBufferPointer, isBrief: Bool = false) throws {
        var (userID, jobID, parent): (String?, String?, Int?)
        var (version, rowCount, seed, created): (Int?, Int?, UInt64?, Int?)
        var (detectorID, detectorVersion, payloadSHA256): (String?, String?, String?)
        var detectorSHA256: String?
        var (threshold, contamination): (Double?, Double?)
        var (parameters, metrics): ([String: String]?, [String: Double]?)
        var (preprocessing, trainingRange): (Preprocessing?, Range?)
        var severity: SeverityTable?
        var source: Source?
        var candidates: [CandidateJudgement] = []
        var gate: [GateCheck] = []
        var profile: TrainingProfile?
        var uncapped: Double?
        var labelsAsOf: Int?
        var deciles: [HoldoutDecile] = []
        var reader = JSONReader(json)
        if isBrief { (parameters, metrics) = ([:], [:]) }
        try reader.object { reader, name in
            if isBrief, Self.isLeftOutOfBrief(name) { return try reader.passKnown() }
            switch name {
            case "userID": userID = try reader.optional { try $0.text() }
            case "version": version = try reader.integer()
            case "detectorID": detectorID = try reader.text()
            case "detectorVersion": detectorVersion = try reader.text()
            case "detectorSHA256": detectorSHA256 = try reader.optional { try $0.text() }
            case "parameters": parameters = try reader.dictionary { try $0.text() }
            case "seed": seed = try reader.unsignedInteger()
            case "preprocessing": preprocessing = try Preprocessing(from: &reader)
            case "threshold": threshold = try reader.number()
            case "severity": severity = try reader.optional { try SeverityTable(from: &$0) }
            case "contamination": contamination = try reader.number()
            case "trainingRange": trainingRange = try Range(from: &reader)
            case "rowCount": rowCount = try reader.integer()
            case "metrics": metrics = try reader.dictionary { try $0.number() }
            case "parent": parent = try reader.optional { try $0.integer() }
            case "createdMilliseconds": created = try reader.integer()
            case "jobID": jobID = try reader.optional { try $0.text() }
            case "source": source = try reader.optional { try Source(from: &$0) }
            case "payloadSHA256": payloadSHA256 = try reader.text()
            case "candidates":
                candidates = try reader.elements { try CandidateJudgement(from: &$0) }
            case "gate": gate = try reader.elements { try GateCheck(from: &$0) }
            case "labelsAsOfMilliseconds": labelsAsOf = try reader.optional { try $0.integer() }
            case "deciles": deciles = try reader.elements { try HoldoutDecile(from: &$0) }
            case "uncappedThreshold": uncapped = try reader.optional { try $0.number() }
            case "profile": profile = try reader.optional { try TrainingProfile(from: &$0) }
            default: try reader.skip()
            }
        }
        try reader.end()
        self.init(
            userID: userID, version: try found(version, "version"),
            detectorID: try found(detectorID, "detectorID"),
            detectorVersion: try found(detectorVersion, "detectorVersion"), detectorSHA256: detectorSHA256,
            parameters: try found(parameters, "parameters"), seed: try found(seed, "seed"),
            preprocessing: try found(preprocessing, "preprocessing"),
            threshold: try found(threshold, "threshold"), severity: severity,
            contamination: try found(contamination, "contamination"),
            trainingRange: try found(trainingRange, "trainingRange"),
            rowCount: try found(rowCount, "rowCount"), metrics: try found(metrics, "metrics"), parent: parent,
            createdMilliseconds: Int64(try found(created, "createdMilliseconds")), jobID: jobID,
            source: source)
        self.payloadSHA256 = try found(payloadSHA256, "payloadSHA256")
        (self.candidates, self.gate, self.profile) = (candidates, gate, profile)
        uncappedThreshold = uncapped
        (labelsAsOfMilliseconds, self.deciles) = (labelsAsOf.map(Int64.init), deciles)
    }

    private static func isLeftOutOfBrief(_ name: JSONReader.Name) -> Bool {
        switch name {
        case "candidates", "deciles", "gate", "metrics", "parameters", "profile", "source": true
        default: false
        }
    }

    /// Without what scoring has no use for: half of a header, and most of reading one.
    var brief: ArtifactHeader {
        var brief = self
        (brief.candidates, brief.deciles, brief.gate) = ([], [], [])
        (brief.metrics, brief.parameters) = ([:], [:])
        (brief.profile, brief.source) = (nil, nil)
        return brief
    }
}

extension JSONReader {
    /// The name of a feature: the schema's own text, if it is one of the next few there.
    ///
    /// - Parameter place: Where in the schema it is looked for; then behind it.
    fileprivate mutating func feature(from place: inout Int) throws -> String {
        let names = FeatureSchema.all
        for next in place..<min(place + 4, names.count) {
            guard let name = text(ifEqual: names[next].name) else { continue }
            place = next + 1
            return name
        }
        return try text()
    }
}

extension SeverityTable {
    fileprivate init(from reader: inout JSONReader) throws {
        var (rows, scale, shape): (Int?, Double?, Double?)
        var (scores, ranks): ([Double]?, [Int]?)
        try reader.object { reader, name in
            switch name {
            case "rows": rows = try reader.integer()
            case "scores": scores = try reader.elements { try $0.number() }
            case "ranks": ranks = try reader.elements { try $0.integer() }
            case "scale": scale = try reader.number()
            case "shape": shape = try reader.number()
            default: try reader.skip()
            }
        }
        let table = SeverityTable(
            rows: try found(rows, "rows"), scores: try found(scores, "scores"),
            ranks: try found(ranks, "ranks"), scale: try found(scale, "scale"),
            shape: try found(shape, "shape"))
        guard let table else {
            throw JSONReader.Malformed(description: "'severity' is out of order or range")
        }
        self = table
    }
}

extension ArtifactHeader.Range {
    fileprivate init(from reader: inout JSONReader) throws {
        var (from, to): (String?, String?)
        try reader.object { reader, name in
            switch name {
            case "from": from = try reader.text()
            case "to": to = try reader.text()
            default: try reader.skip()
            }
        }
        self.init(from: try found(from, "from"), to: try found(to, "to"))
    }
}

extension ArtifactHeader.Source {
    fileprivate init(from reader: inout JSONReader) throws {
        var (file, sha256, producer): (String?, String?, String?)
        try reader.object { reader, name in
            switch name {
            case "file": file = try reader.text()
            case "sha256": sha256 = try reader.text()
            case "producer": producer = try reader.text()
            default: try reader.skip()
            }
        }
        self.init(
            file: try found(file, "file"), sha256: try found(sha256, "sha256"),
            producer: try found(producer, "producer"))
    }
}

extension Preprocessing {
    fileprivate init(from reader: inout JSONReader) throws {
        var (schemaVersion, scaling): (Int?, Scaling?)
        var (numeric, categorical): ([NumericColumn]?, [CategoricalColumns]?)
        var encoding = Encoding.oneHot
        var coldBelow: Int?
        var unseenAsUsual: [String]?
        try reader.object { reader, name in
            switch name {
            case "schemaVersion": schemaVersion = try reader.integer()
            case "scaling": scaling = Scaling(rawValue: try reader.text())
            case "numeric":
                var place = 0
                numeric = try reader.elements { try NumericColumn(from: &$0, &place) }
            case "coldBelow": coldBelow = try reader.optional { try $0.integer() }
            case "unseenAsUsual":
                unseenAsUsual = try reader.optional { try $0.elements { try $0.text() } }
            case "encoding": encoding = try found(Encoding(rawValue: try reader.text()), "encoding")
            case "categorical": categorical = try reader.elements { try CategoricalColumns(from: &$0) }
            default: try reader.skip()
            }
        }
        self.init(
            schemaVersion: try found(schemaVersion, "schemaVersion"), scaling: try found(scaling, "scaling"),
            numeric: try found(numeric, "numeric"), categorical: try found(categorical, "categorical"),
            encoding: encoding, coldBelow: coldBelow, unseenAsUsual: unseenAsUsual)
    }
}

extension Preprocessing.NumericColumn {
    /// - Parameter schemaPlace: Where in the schema its name is looked for.
    fileprivate init(from reader: inout JSONReader, _ schemaPlace: inout Int) throws {
        var (feature, centre, scale, usual): (String?, Double?, Double?, Double?)
        if reader.isAtArray {
            var place = 0
            try reader.array { reader in
                switch place {
                case 0: feature = try reader.feature(from: &schemaPlace)
                case 1: centre = try reader.number()
                case 2: scale = try reader.number()
                case 3: usual = try reader.number()
                default: try reader.skip()
                }
                place += 1
            }
            usual = usual ?? centre
        } else {
            try reader.object { reader, name in
                switch name {
                case "feature": feature = try reader.text()
                case "centre": centre = try reader.number()
                case "scale": scale = try reader.number()
                case "usual": usual = try reader.number()
                default: try reader.skip()
                }
            }
        }
        self.init(
            feature: try found(feature, "feature"), centre: try found(centre, "centre"),
            scale: try found(scale, "scale"), usual: try found(usual, "usual"))
    }
}

extension Preprocessing.CategoricalColumns {
    fileprivate init(from reader: inout JSONReader) throws {
        var (feature, categories, usual): (String?, [String]?, String?)
        if reader.isAtArray {
            let texts = try reader.elements { try $0.text() }
            if texts.count >= 2 { (feature, usual, categories) = (texts[0], texts[1], Array(texts[2...])) }
        } else {
            try reader.object { reader, name in
                switch name {
                case "feature": feature = try reader.text()
                case "categories": categories = try reader.elements { try $0.text() }
                case "usual": usual = try reader.text()
                default: try reader.skip()
                }
            }
        }
        self.init(
            feature: try found(feature, "feature"), categories: try found(categories, "categories"),
            usual: try found(usual, "usual"))
    }
}

private func found<Value>(_ value: Value?, _ name: StaticString) throws -> Value {
    guard let value else { throw JSONReader.Malformed(description: "'\(name)' is missing or not known") }
    return value
}
