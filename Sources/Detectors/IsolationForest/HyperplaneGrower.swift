import DetectorAPI

/// Grows trees that cut by several columns at once.
///
/// S. Hariri, M. Carrasco Kind, R. J. Brunner, "Extended Isolation Forest", TKDE 33(4), 2019, with as many columns
/// a cut as `ndim` says. As in the isotree library, and unlike in the paper, a column's part is divided by its
/// deviation in the node, so that units do not matter, and the threshold is uniform between the least and the
/// greatest projection of the node's rows, so that every cut divides them.
struct HyperplaneGrower {
    private let rows: SourceRows
    /// The rows of the tree that grows, as it sees them.
    private var sample: [Float] = []
    private let centres: [Float]
    private let terms: Int
    /// For each column whether it holds the places of categories.
    private let isCategorical: [Bool]
    private let levels: Int
    private(set) var nodes: [HyperplaneNode] = []
    private(set) var starts: [UInt32] = []
    private(set) var allTerms: [HyperplaneTerm] = []
    private(set) var origins: [ForestPayload.LeafOrigin] = []
    private(set) var paths: [Int64] = []
    private(set) var pathSum = 0.0
    private var numbers: [UInt64: UInt32] = [:]
    private var projections: [Double] = []
    /// Those that the tree may cut.
    private var columns: [Int] = []

    private struct Waiting {
        var first: Int
        var count: Int
        var depth: Int
    }

    init(_ rows: SourceRows, centres: [Float], terms: Int, levels: Int) {
        self.rows = rows
        self.centres = centres
        // Of a categorical column a tree sees one order.
        self.terms = min(terms, rows.rows.columns)
        self.levels = levels
        isCategorical = (0..<rows.columns).map { rows.orders?.isCategorical($0) ?? false }
    }

    /// Grows one tree from the chosen rows.
    ///
    /// - Parameter allowed: One bit for each column that it may cut.
    mutating func grow(_ chosen: [UInt32], columns allowed: [UInt64], _ generator: inout SeededGenerator) {
        sample = rows.copies(of: chosen.map(Int.init))
        columns = (0..<rows.columns).filter { allowed[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
        var order = Array(chosen.indices)
        starts.append(UInt32(nodes.count))
        // A node's place in the queue is its number in the tree.
        var queue = [Waiting(first: 0, count: order.count, depth: 0)]
        var inner: UInt32 = 0
        var next = 0
        while next < queue.count {
            let waiting = queue[next]
            next += 1
            guard waiting.count > 1, waiting.depth < levels,
                let (threshold, left) = cut(&order, waiting, &generator)
            else {
                addLeaf(waiting)
                continue
            }
            inner += 1
            nodes.append(HyperplaneNode(inner: inner, threshold: threshold))
            queue.append(Waiting(first: waiting.first, count: left, depth: waiting.depth + 1))
            queue.append(
                Waiting(
                    first: waiting.first + left, count: waiting.count - left, depth: waiting.depth + 1))
        }
    }

    private mutating func addLeaf(_ waiting: Waiting) {
        let combination = UInt64(waiting.depth) << 32 | UInt64(waiting.count)
        let kind =
            numbers[combination]
            ?? {
                numbers[combination] = UInt32(paths.count)
                paths.append(PathLength.fixed(depth: waiting.depth, count: waiting.count))
                origins.append(
                    ForestPayload.LeafOrigin(count: UInt32(waiting.count), depth: UInt32(waiting.depth)))
                return UInt32(paths.count - 1)
            }()
        pathSum += Double(waiting.count) * (Double(paths[Int(kind)]) * 0x1p-32)
        nodes.append(HyperplaneNode(inner: 0, threshold: Float(bitPattern: kind)))
    }

    /// Draws a cut, adds its terms and brings the rows on its left to the front.
    private mutating func cut(
        _ order: inout [Int], _ waiting: Waiting, _ generator: inout SeededGenerator
    ) -> (threshold: Float, left: Int)? {
        let range = waiting.first..<waiting.first + waiting.count
        let own = drawTerms(order[range], &generator)
        if own.isEmpty { return nil }
        projections.removeAll(keepingCapacity: true)
        for row in order[range] {
            var projection = 0.0
            for term in own { projection += Double(term.coefficient) * distance(row, Int(term.column)) }
            projections.append(projection)
        }
        guard let least = projections.min(), let greatest = projections.max(), least < greatest else {
            return nil
        }
        var threshold = Float(least + generator.unit() * (greatest - least))
        if Double(threshold) >= greatest { threshold = threshold.nextDown }
        guard threshold.isFinite, Double(threshold) >= least, Double(threshold) < greatest else { return nil }
        allTerms += own
        let missing = HyperplaneTerm(column: own[0].column, coefficient: 0)
        allTerms += repeatElement(missing, count: terms - own.count)
        var left: [Int] = []
        var right: [Int] = []
        for (place, row) in zip(projections.indices, order[range]) {
            if projections[place] > Double(threshold) { right.append(row) } else { left.append(row) }
        }
        order.replaceSubrange(range, with: left + right)
        return (threshold, left.count)
    }

    /// Some columns that vary among the rows, each with a random coefficient over its deviation.
    ///
    /// A column of categories is cut alone: with others in the sum, what goes left would be no subset of them.
    private mutating func drawTerms(
        _ rows: ArraySlice<Int>, _ generator: inout SeededGenerator
    ) -> [HyperplaneTerm] {
        var own: [HyperplaneTerm] = []
        var candidates = columns.count
        while own.count < terms && candidates > 0 {
            let place = generator.below(candidates)
            let column = columns[place]
            candidates -= 1
            columns.swapAt(place, candidates)
            let isCategorical = isCategorical[column]
            if isCategorical && !own.isEmpty { continue }
            let deviation = deviation(rows, column)
            guard deviation > 0 else { continue }
            // A sum of twelve uniform numbers is near enough to normal for a direction.
            var bell = -6.0
            for _ in 0..<12 { bell += generator.unit() }
            let coefficient = Float(bell / deviation)
            if coefficient.isFinite {
                own.append(HyperplaneTerm(column: UInt32(column), coefficient: coefficient))
                if isCategorical { break }
            }
        }
        return own
    }

    private func deviation(_ rows: ArraySlice<Int>, _ column: Int) -> Double {
        let count = Double(rows.count)
        var sum = 0.0
        for row in rows { sum += distance(row, column) }
        let mean = sum / count
        var squares = 0.0
        for row in rows {
            let difference = distance(row, column) - mean
            squares += difference * difference
        }
        return (squares / count).squareRoot()
    }

    private func distance(_ row: Int, _ column: Int) -> Double {
        Hyperplane.distance(sample[row * rows.columns + column], from: centres[column])
    }
}

extension HyperplaneGrower {
    func model(trees: Int, sampleSize: Int) -> HyperplaneModel {
        let payload = HyperplanePayload(
            columns: rows.columns, trees: trees, sampleSize: sampleSize, terms: terms,
            normaliser: PathLength.average(sampleSize), expectedSum: pathSum / Double(sampleSize),
            kinds: paths.count, nodes: nodes.count)
        let artifact = ArtifactBytes(count: payload.size) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            payload.writeHeader(to: bytes)
            bytes.copy(centres, at: payload.centresOffset)
            bytes.copy(paths, at: payload.pathsOffset)
            bytes.copy(origins, at: payload.originsOffset)
            bytes.copy(starts + [UInt32(nodes.count)], at: payload.startsOffset)
            bytes.copy(nodes, at: payload.nodesOffset)
            bytes.copy(allTerms, at: payload.termsOffset)
        }
        return HyperplaneModel(payload, artifact)
    }
}
