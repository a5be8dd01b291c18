import DetectorAPI

/// One check of the conformance suite.
struct Check: Sendable {
    let name: String
    /// - Throws: `CheckFailure`, or what the detector threw where it should not have.
    let run: @Sendable (Subject) throws -> Finding

    init(_ name: String, run: @escaping @Sendable (Subject) throws -> Finding) {
        self.name = name
        self.run = run
    }

    /// In the order in which they run: later ones build on what earlier ones have shown.
    static let all: [Check] =
        [stamp, description, limits] + fits + [
            sameBytes, categories, weights, labels, permutation, threads, direction, roundTrip, damage,
            cancellation,
            contributions, learning, memory, speed, size,
        ]

    /// The first check is made by loading: what it says when that went well.
    private static let stamp = Check("stamp and ABI") { subject in
        let stamp = subject.stamp
        let kind = stamp.isPlainC ? "plain C" : "Swift API \(stamp.swiftAPIVersion)"
        return .passed("C ABI \(stamp.cABIVersion), \(kind), \(stamp.compiler)")
    }
}

/// What a check found when nothing was wrong.
enum Finding {
    case passed(String)
    case notApplicable(String)
    case measured(String, [String: Double])
}

/// A promise that was not kept, and the smallest input that shows it.
struct CheckFailure: Error {
    let detail: String

    init(_ detail: String) { self.detail = detail }
}

/// What the checks are made on.
struct Subject {
    let detector: any Detector
    let stamp: PluginStamp
    let settings: VerificationSettings
    /// Told what is about to be tried, so that a crash can be laid at its door.
    let note: (String) -> Void

    func fit(_ table: SampleTable, parameters: [String: ParameterValue] = [:]) throws -> any DetectorModel {
        try detector.fit(table, parameters: parameters)
    }

    func decode(_ bytes: [UInt8]) throws -> any DetectorModel {
        try detector.decode(ArtifactBytes(copying: bytes))
    }

    /// Rows of a small table: a detector that needs labels may refuse fewer.
    var smallTable: Int { detector.info.needsLabels ? Self.leastLabelledRows : 64 }

    /// A detector that needs labels must do with so many rows, a quarter of them anomalies.
    static let leastLabelledRows = 256
}

extension Detector {
    func fit(
        _ table: SampleTable, seed: UInt64 = 1, parameters: [String: ParameterValue] = [:],
        kinds: [FeatureColumn.Kind] = [], weights: [Float]? = nil,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) throws -> any DetectorModel {
        let context = FitContext(
            seed: seed, parameters: try info.checked(parameters),
            columns: (0..<table.columns).map {
                FeatureColumn(name: "column\($0)", kind: $0 < kinds.count ? kinds[$0] : .numeric)
            }, weights: weights, isCancelled: isCancelled, progress: progress)
        return try fit(
            table, labels: info.needsLabels ? table.withRows { $0.labelsOfFurthest() } : nil, context)
    }

    func fit(_ table: SampleTable, labels: [Int8]?, _ context: FitContext) throws -> any DetectorModel {
        guard let labels else { return try table.withRows { try fit($0, labels: nil, context: context) } }
        return try labels.withUnsafeBufferPointer { labels in
            try table.withRows { try fit($0, labels: labels, context: context) }
        }
    }
}

extension DetectorModel {
    /// - Throws: `CheckFailure` for a score that is not finite or not filled in.
    func scores(of table: SampleTable) throws -> [Double] {
        var scores = [Double](repeating: .nan, count: table.count)
        try table.withRows { rows in
            try scores.withUnsafeMutableBufferPointer { try score(rows, into: $0) }
        }
        if let row = scores.firstIndex(where: { !$0.isFinite }) {
            throw CheckFailure("the row \(table[row]) scores \(scores[row])")
        }
        return scores
    }
}

func isSame(_ a: [Double], _ b: [Double]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
}
