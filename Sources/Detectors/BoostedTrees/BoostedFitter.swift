import DetectorAPI
import Exact

/// Grows the trees, and calibrates them on rows that trees of their like have not seen.
struct BoostedFitter {
    /// Parts of the rows that are held out one after another for the calibration. The trees that are kept see all rows.
    private static let folds = 3

    private let table: LabelledRows
    private let parameters: BoostedParameters
    private let context: FitContext
    private let library: LightGBM

    init(
        _ table: LabelledRows, _ parameters: BoostedParameters, _ context: FitContext, library: LightGBM
    ) {
        self.table = table
        self.parameters = parameters
        self.context = context
        self.library = library
    }

    func fit() throws -> BoostedModel {
        var margins: [Double] = []
        var isFraud: [Bool] = []
        for fold in 0..<Self.folds {
            let (others, held) = table.divided(fold: fold, of: Self.folds)
            let model = try Self.model(grow(others, run: fold), others, Calibration(slope: 1, intercept: 0))
            margins += try model.margins(held)
            isFraud += held.isFraud
        }
        return try Self.model(
            grow(table, run: Self.folds), table, Calibration(margins: margins, isFraud: isFraud))
    }

    /// Trees as LightGBM writes them, and the margin that they add to.
    struct Grown {
        let text: String
        let base: Double
    }

    static func model(_ grown: Grown, _ rows: LabelledRows, _ calibration: Calibration) throws -> BoostedModel
    {
        let trees = try ModelText(grown.text, columns: rows.columns.count).trees
        let writer = try BoostedWriter(trees, columns: rows.columns)
        return try BoostedModel(decoding: writer.artifact(base: grown.base, calibration: calibration))
    }

    private func pause(_ run: Int, _ trees: Int) throws {
        if context.isCancelled() { throw DetectorError.cancelled }
        context.progress((Double(run) + Double(trees) / Double(parameters.trees)) / Double(Self.folds + 1))
    }

    /// Newton steps along the logarithmic loss. Its derivatives are computed here, without the C library's exponential,
    /// which differs between processors; what is left to LightGBM are sums and quotients.
    func grow(_ rows: LabelledRows, run: Int) throws -> Grown {
        try pause(run, 0)
        let settings = settings(rows)
        let binned = try BinnedRows(library, rows, settings: settings)
        let booster = try Booster(binned, count: rows.count, settings: settings)
        let frauds = Double(rows.frauds)
        let ratio = (Double(rows.count) - frauds) / frauds
        let weight = DeterministicMath.exp(parameters.balance * DeterministicMath.log(ratio))
        let base = DeterministicMath.log(weight / ratio)
        var sums = [Double](repeating: 0, count: rows.count)
        var gradients = [Float](repeating: 0, count: rows.count)
        var hessians = gradients
        for tree in 0..<parameters.trees {
            try pause(run, tree)
            if tree > 0 { try booster.readSums(into: &sums) }
            for row in 0..<rows.count {
                let probability = 1 / (1 + DeterministicMath.exp(-(base + sums[row])))
                let isFraud = rows.isFraud[row]
                let own = isFraud ? weight : 1
                gradients[row] = Float(own * (probability - (isFraud ? 1 : 0)))
                hessians[row] = Float(own * probability * (1 - probability))
            }
            guard try booster.grow(gradients: gradients, hessians: hessians) else { break }
        }
        try pause(run, parameters.trees)
        return Grown(text: try booster.text(), base: base)
    }

    private func settings(_ rows: LabelledRows) -> String {
        let categories = rows.columns.indices.filter {
            if case .categorical = rows.columns[$0].kind { true } else { false }
        }
        // One thread, rows before columns, and one seed: the same bytes each time.
        var settings = [
            "objective=custom", "num_threads=1", "deterministic=true", "force_row_wise=true", "verbosity=-1",
            "seed=\(context.seed & 0x7FFF_FFFF)", "feature_pre_filter=false", "boost_from_average=false",
            "num_leaves=\(parameters.leaves)", "learning_rate=\(parameters.learningRate)",
            "min_data_in_leaf=\(parameters.leafRows)", "lambda_l2=\(parameters.lambda)",
            "feature_fraction=\(parameters.columnShare)",
        ]
        if !categories.isEmpty {
            settings.append("categorical_feature=" + categories.map(String.init).joined(separator: ","))
        }
        return settings.joined(separator: " ")
    }
}

extension BoostedModel {
    fileprivate func margins(_ rows: LabelledRows) throws -> [Double] {
        var margins = [Double](repeating: 0, count: rows.count)
        try rows.withRows { rows in
            try margins.withUnsafeMutableBufferPointer { try self.margins(rows, into: $0) }
        }
        return margins
    }
}
