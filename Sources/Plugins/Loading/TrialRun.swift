import DetectorAPI

/// The least that a detector must be able to do before it is offered: describe itself, fit a few rows, score
/// them, and give the same scores after its artifact was written and read.
enum TrialRun {
    static let columns = 3
    private static let rowCount = 64
    /// A quarter of them are labelled as anomalies.
    private static let labelledRowCount = 256

    /// What stopped the trial.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameter enter: Told the stage before it starts.
    /// - Returns: What the models can do; nothing where what fitting needs is not installed: what cannot be fitted here may
    ///   still score what was fitted elsewhere.
    /// - Throws: `Failure`.
    static func run(_ detector: any Detector, enter: (String) -> Void = { _ in }) throws(Failure)
        -> Set<DetectorCapability>
    {
        enter("describing itself")
        if let complaint = complaint(about: detector.info) { throw Failure(description: complaint) }
        let rowCount = detector.info.needsLabels ? labelledRowCount : rowCount
        let values = sampleRows(rowCount)
        return try values.withUnsafeBufferPointer { values throws(Failure) in
            let rows = FeatureRows(values, columns: columns)
            enter("fitting \(rowCount) rows")
            let fitted: (any DetectorModel)? = try attempt("fitting \(rowCount) rows of \(columns)") {
                do {
                    return try fit(detector, rows)
                } catch DetectorError.unavailable {
                    return nil
                }
            }
            guard let model = fitted else { return [] }
            enter("scoring")
            let scores = try scores(of: model, rows)
            enter("encoding")
            let bytes = model.encode()
            enter("decoding")
            let again = try attempt("decoding its own artifact of \(bytes.count) bytes") {
                try detector.decode(ArtifactBytes(copying: bytes))
            }
            enter("scoring what was decoded")
            guard
                try Self.scores(of: again, rows).elementsEqual(scores, by: { $0.bitPattern == $1.bitPattern })
            else { throw Failure(description: "its model scores otherwise after encoding and decoding") }
            return DetectorCapability.all(of: model)
        }
    }

    /// What is wrong with how a detector describes itself; nil: nothing.
    static func complaint(about info: DetectorInfo) -> String? {
        let words = info.id.split(separator: "-", omittingEmptySubsequences: false)
        let isWord = { (word: Substring) in
            !word.isEmpty && word.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) }
        }
        guard info.id.utf8.count <= 64, words.allSatisfy(isWord) else {
            return "its id '\(info.id)' is not at most 64 characters of lower-case words joined by hyphens"
        }
        guard (1...32).contains(info.version.utf8.count),
            info.version.utf8.allSatisfy({ (33...126).contains($0) })
        else { return "its version '\(info.version)' is not 1 to 32 printable characters" }
        var names: Set<String> = []
        for parameter in info.parameters {
            guard !parameter.name.isEmpty else { return "one of its parameters has no name" }
            guard names.insert(parameter.name).inserted else {
                return "it has two parameters \(parameter.name)"
            }
            guard (try? parameter.checked(parameter.defaultValue)) == parameter.defaultValue else {
                return "the default of its parameter \(parameter.name) is not \(parameter.kind)"
            }
        }
        return nil
    }

    /// Defaults for every parameter.
    static func context(for info: DetectorInfo, seed: UInt64 = 1, columns: Int = columns) throws -> FitContext
    {
        FitContext(
            seed: seed, parameters: try info.checked([:]),
            columns: (0..<columns).map { FeatureColumn(name: "column\($0)") })
    }

    private static func fit(_ detector: any Detector, _ rows: FeatureRows) throws -> any DetectorModel {
        let context = try context(for: detector.info)
        guard detector.info.needsLabels else { return try detector.fit(rows, labels: nil, context: context) }
        return try rows.labelsOfFurthest().withUnsafeBufferPointer {
            try detector.fit(rows, labels: $0, context: context)
        }
    }

    private static func sampleRows(_ rowCount: Int) -> [Float] {
        var generator = SeededGenerator(seed: 1)
        return (0..<rowCount * columns).map { _ in Float(generator.unit()) }
    }

    private static func scores(of model: any DetectorModel, _ rows: FeatureRows) throws(Failure) -> [Double] {
        guard model.columns == rows.columns else {
            throw Failure(description: "its model has \(model.columns) columns of \(rows.columns)")
        }
        var scores = [Double](repeating: .nan, count: rows.count)
        try attempt("scoring") {
            try scores.withUnsafeMutableBufferPointer { try model.score(rows, into: $0) }
        }
        guard let row = scores.firstIndex(where: { !$0.isFinite }) else { return scores }
        throw Failure(description: "the score of row \(row) is \(scores[row])")
    }

    private static func attempt<R>(_ what: String, _ body: () throws -> R) throws(Failure) -> R {
        do { return try body() } catch { throw Failure(description: "\(what) throws: \(error)") }
    }
}

extension FeatureRows {
    /// 1 for the quarter of the rows whose values are furthest from 0, 0 for the others: labels for trying a detector that
    /// needs some. Missing values count as 0.
    func labelsOfFurthest() -> [Int8] {
        let distances = (0..<count).map { row in
            self[row].reduce(0) { $0 + Double(min($1.isNaN ? 0 : abs($1), .greatestFiniteMagnitude)) }
        }
        let order = distances.indices.sorted { (distances[$0], $0) > (distances[$1], $1) }
        var labels = [Int8](repeating: 0, count: count)
        for row in order.prefix((count + 3) / 4) { labels[row] = 1 }
        return labels
    }
}
