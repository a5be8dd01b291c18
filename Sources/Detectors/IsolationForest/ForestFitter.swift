import DetectorAPI

/// Grows the trees of a forest and writes its artifact.
struct ForestFitter {
    let rows: SourceRows
    let parameters: ForestParameters
    let context: FitContext
    let sampleSize: Int
    private let weights: RowWeights?
    private let loops: GrowerLoops

    init(
        _ rows: FeatureRows, _ parameters: ForestParameters, _ context: FitContext,
        loops: GrowerLoops = .best
    ) throws {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        let orders = try CategoryOrders(context.columns, columns: rows.columns, seed: context.seed)
        let source = SourceRows(rows: rows, orders: orders)
        guard source.columns <= ForestShape.maximumColumns else {
            throw DetectorError.invalidInput(
                "more than \(ForestShape.maximumColumns) columns, a categorical one counting as \(orders?.orders ?? 1)"
            )
        }
        guard rows.count < UInt32.max else { throw DetectorError.invalidInput("more than 2^32 - 2 rows") }
        self.rows = source
        self.parameters = parameters
        self.context = context
        self.loops = loops
        weights = try context.weights.map { weights throws(DetectorError) in
            try RowWeights(weights, rows: rows.count)
        }
        sampleSize = min(parameters.sampleSize, weights?.rows ?? rows.count)
    }

    /// As in the paper: the height of a perfectly balanced tree of the sample.
    private var levels: Int { sampleSize <= 1 ? 0 : Int.bitWidth - (sampleSize - 1).leadingZeroBitCount }

    /// Fits the kind of forest that the parameters ask for.
    func fit() throws -> any DetectorModel {
        let forest: any Explaining & Sizing =
            parameters.mode == .extended ? try fitExtended() : try fitForest()
        return rows.orders.map { CategoricalModel($0, forest) } ?? forest
    }

    private func fitForest() throws -> ForestModel {
        let shape = ForestShape(
            columns: rows.columns, trees: parameters.trees, levels: levels,
            spareBits: isPacked ? ForestPacking.spareBits(columns: rows.columns) : 0)
        var sampler = RowSampler(rows: rows.count, size: sampleSize, weights: weights, loops: loops)
        let centres = medians(&sampler)
        let sample = SampleKeys(rows, shape, centres: centres, sampleSize: sampleSize)
        var grower = TreeGrower(shape, sampleSize: sampleSize, loops: loops)
        let leaves = LeafTable(shape, sampleSize: sampleSize)
        var nodes = [UInt32](repeating: ForestShape.noNode, count: shape.trees * shape.wordsPerTree)
        for tree in 0..<shape.trees {
            try pause(tree)
            var generator = SeededGenerator(seed: context.seed, stream: UInt64(tree))
            sampler.draw(&generator)
            if !sample.hasAllRows { sample.gather(sampler.chosen) }
            let columns = chooseColumns(&generator)
            nodes.withUnsafeMutableBufferPointer { nodes in
                grower.grow(
                    sample, sample.hasAllRows ? sampler.chosen : nil, rule(tree), columns: columns,
                    leaves.writer(tree: tree),
                    &generator,
                    words: nodes.baseAddress.unsafelyUnwrapped + tree * shape.wordsPerTree)
            }
        }
        context.progress(1)
        let payload = ForestPayload(
            shape: shape, sampleSize: sampleSize, normaliser: PathLength.average(sampleSize),
            expectedSum: leaves.expectedSum(), kinds: leaves.origins.count, isPacked: isPacked,
            nodeCount: leaves.leafCount - shape.trees)
        return ForestModel(payload, payload.artifact(centres: centres, nodes: nodes, leaves: leaves))
    }

    /// A forest of trees that cut by several columns at once. `storage` does not apply.
    private func fitExtended() throws -> HyperplaneModel {
        var sampler = RowSampler(rows: rows.count, size: sampleSize, weights: weights, loops: loops)
        let centres = medians(&sampler)
        var grower = HyperplaneGrower(rows, centres: centres, terms: parameters.dimensions, levels: levels)
        for tree in 0..<parameters.trees {
            try pause(tree)
            var generator = SeededGenerator(seed: context.seed, stream: UInt64(tree))
            sampler.draw(&generator)
            let columns = chooseColumns(&generator)
            grower.grow(sampler.chosen, columns: columns, &generator)
        }
        context.progress(1)
        return grower.model(trees: parameters.trees, sampleSize: sampleSize)
    }

    /// Now and then says how far it is, and asks whether to go on.
    private func pause(_ tree: Int) throws {
        guard tree % 16 == 0 else { return }
        if context.isCancelled() { throw DetectorError.cancelled }
        context.progress(Double(tree) / Double(parameters.trees))
    }

    /// Two kinds of guidance by turns: what one kind of tree misses the other may see.
    private func rule(_ tree: Int) -> TreeGrower.Rule {
        switch parameters.mode {
        case .standard, .extended: return .none
        case .auto where (weights?.rows ?? rows.count) < ForestParameters.guidedRows: return .none
        case .auto, .guided: return tree % 2 == 0 ? .tails : .gaps
        }
    }

    private var isPacked: Bool {
        switch parameters.storage {
        case .auto: rows.count <= ForestParameters.packedRows
        case .plain: false
        case .packed: true
        }
    }

    /// The columns' medians in some of the rows; 0 for a column without values there.
    private func medians(_ sampler: inout RowSampler) -> [Float] {
        var generator = SeededGenerator(seed: context.seed, stream: .max)
        sampler.draw(&generator)
        let step = max(1, sampler.chosen.count / 32)
        let chosen = stride(from: 0, to: sampler.chosen.count, by: step).map { Int(sampler.chosen[$0]) }
        let copies = rows.copies(of: chosen)
        var values: [Float] = []
        return (0..<rows.columns).map { column in
            values.removeAll(keepingCapacity: true)
            for place in chosen.indices {
                let value = copies[place * rows.columns + column]
                if value.isFinite { values.append(value) }
            }
            values.sort()
            return values.isEmpty ? 0 : values[values.count / 2]
        }
    }

    /// The columns that a tree may cut, one bit each.
    private func chooseColumns(_ generator: inout SeededGenerator) -> [UInt64] {
        let columns = rows.rows.columns
        let wanted = max(1, Int(Double(columns) * parameters.columnShare))
        var bits = [UInt64](repeating: 0, count: (columns + 63) / 64)
        // Knuth, volume 2, algorithm S.
        var chosen = 0
        for column in 0..<columns {
            let isChosen = wanted == columns || generator.below(columns - column) < wanted - chosen
            if isChosen {
                bits[column / 64] |= 1 << UInt64(column % 64)
                chosen += 1
            }
        }
        return rows.orders?.drawOrders(bits, &generator) ?? bits
    }
}
