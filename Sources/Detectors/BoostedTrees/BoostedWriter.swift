import CForestKernels
import DetectorAPI

/// Turns trees as LightGBM grew them into an artifact.
struct BoostedWriter {
    private let columns: [FeatureColumn]
    private var keyRows: [KeyRow] = []
    private var numberOfKeyRow: [KeyRow: Int] = [:]
    private var starts: [UInt32] = [0]
    private var setStarts: [UInt32] = [0]
    private var nodes: [boosted_node] = []
    private var sets: [boosted_set] = []
    private var leaves: [Double] = []
    private var covers: [UInt32] = []
    private var places: [UInt8] = []
    /// Of each column of categories that is cut.
    private var placeRow: [Int: Int] = [:]

    /// - Throws: `DetectorError.invalidInput` for trees that are none, or larger than a tree may be.
    init(_ trees: [GrownTree], columns: [FeatureColumn]) throws {
        self.columns = columns
        try writePlaces(trees)
        for tree in trees {
            try write(tree)
            starts.append(UInt32(nodes.count))
            setStarts.append(UInt32(sets.count))
        }
        // Now that all key rows are known: those of sets come after them.
        for place in nodes.indices where nodes[place].row & Self.setRow != 0 {
            nodes[place].row = UInt32(keyRows.count) + (nodes[place].row & ~Self.setRow)
        }
    }

    /// The model's bytes.
    func artifact(base: Double, calibration: Calibration) -> ArtifactBytes {
        let greatest = leaves.reduce(0) { max($0, abs($1)) }
        // As many bits as fit: the greatest leaf needs 31.
        let fractionBits = greatest > 0 ? min(max(29 - Int(greatest.exponent), 0), 60) : 0
        let payload = BoostedPayload(
            columns: columns.count, trees: starts.count - 1, keyRows: keyRows.count, nodes: nodes.count,
            sets: sets.count, places: places.count, fractionBits: fractionBits, base: base,
            calibration: calibration)
        let scale = Double(sign: .plus, exponent: fractionBits, significand: 1)
        return ArtifactBytes(count: payload.size) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            payload.writeHeader(to: bytes)
            bytes.copy(keyRows, at: payload.keyRowsOffset)
            bytes.copy(starts, at: payload.startsOffset)
            bytes.copy(setStarts, at: payload.setStartsOffset)
            bytes.copy(nodes, at: payload.nodesOffset)
            bytes.copy(sets, at: payload.setsOffset)
            bytes.copy(
                leaves.map { Int32(clamping: Int(($0 * scale).rounded(.toNearestOrEven))) },
                at: payload.leavesOffset)
            bytes.copy(covers, at: payload.coversOffset)
            bytes.copy(places, at: payload.placesOffset)
        }
    }

    /// Numbers the categories that a set of a column names, by ascending code.
    private mutating func writePlaces(_ trees: [GrownTree]) throws {
        var named: [Int: Set<Int>] = [:]
        for tree in trees {
            for node in tree.nodes where node.isCategorical {
                named[node.column, default: []].formUnion(tree.sets[Int(node.threshold)])
            }
        }
        for (column, codes) in named.sorted(by: { $0.key < $1.key }) {
            guard case .categorical(let cardinality) = columns[column].kind,
                codes.count < Int(KeyRow.noPlace),
                codes.allSatisfy({ (0..<cardinality).contains($0) })
            else { throw Self.misunderstood("the categories of \(columns[column].name)") }
            placeRow[column] = keyRows.count
            keyRows.append(
                KeyRow(
                    column: UInt32(column), kind: KeyRow.Kind.place.rawValue,
                    firstPlace: UInt32(places.count),
                    cardinality: UInt32(cardinality)))
            let first = places.count
            places += [UInt8](repeating: KeyRow.noPlace, count: cardinality)
            for (place, code) in codes.sorted().enumerated() { places[first + code] = UInt8(place) }
        }
    }

    private mutating func write(_ tree: GrownTree) throws {
        guard tree.leafValues.count <= BoostedPayload.maximumLeaves else {
            throw Self.misunderstood("a tree of \(tree.leafValues.count) leaves")
        }
        let first = (node: nodes.count, leaf: leaves.count)
        try write(tree.nodes.isEmpty ? ~0 : 0, of: tree, first)
        guard nodes.count - first.node == tree.nodes.count, leaves.count - first.leaf == tree.leafValues.count
        else { throw Self.misunderstood("a tree with nodes that no way leads to") }
    }

    /// Writes a node and all below it, the left side first.
    private mutating func write(_ child: Int, of tree: GrownTree, _ first: (node: Int, leaf: Int)) throws {
        if child < 0 {
            guard tree.leafValues.indices.contains(~child), leaves.count - first.leaf < tree.leafValues.count
            else {
                throw Self.misunderstood("leaf \(~child)")
            }
            leaves.append(tree.leafValues[~child])
            covers.append(UInt32(clamping: max(tree.leafRows[~child], 1)))
            return
        }
        // No more nodes than there are, so that a way that goes round ends.
        guard tree.nodes.indices.contains(child), nodes.count - first.node < tree.nodes.count else {
            throw Self.misunderstood("node \(child)")
        }
        let place = nodes.count
        let firstLeft = leaves.count
        nodes.append(try written(tree.nodes[child], tree))
        try write(tree.nodes[child].left, of: tree, first)
        let left = UInt32(leaves.count - firstLeft)
        nodes[place].mask = (UInt32.max >> (32 - left)) << UInt32(firstLeft - first.leaf)
        try write(tree.nodes[child].right, of: tree, first)
    }

    private mutating func written(_ node: GrownTree.Node, _ tree: GrownTree) throws -> boosted_node {
        if node.isCategorical {
            var set = boosted_set()
            guard let row = placeRow[node.column] else { throw Self.misunderstood("column \(node.column)") }
            set.row = UInt32(row)
            withUnsafeMutableBytes(of: &set.words) { words in
                let words = words.assumingMemoryBound(to: UInt32.self)
                for code in tree.sets[Int(node.threshold)] {
                    let place = Int(places[Int(keyRows[row].firstPlace) + code])
                    words[place / 32] |= 1 << UInt32(place % 32)
                }
            }
            let number = sets.count - Int(setStarts.last ?? 0)
            sets.append(set)
            return boosted_node(threshold: 0, mask: 0, row: Self.setRow | UInt32(number))
        }
        let kind: KeyRow.Kind =
            switch node.missing {
            case .left: .missingLeft
            case .right: .missingRight
            case .asZero: .missingAsZero
            }
        let row = KeyRow(column: UInt32(node.column), kind: kind.rawValue)
        let number = numberOfKeyRow[row] ?? keyRows.count
        if number == keyRows.count {
            numberOfKeyRow[row] = number
            keyRows.append(row)
        }
        return boosted_node(
            threshold: KeyRow.key(ofThreshold: node.threshold), mask: 0, row: UInt32(number))
    }

    /// Set in the row of a node of a set while key rows are still being added.
    private static let setRow: UInt32 = 1 << 31

    private static func misunderstood(_ what: String) -> DetectorError {
        .invalidInput(
            "LightGBM's trees are not understood (\(what)): scripts/setup installs the version that is")
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func copy<Element>(_ source: [Element], at offset: Int) {
        source.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: self[offset..<offset + source.count]).copyMemory(
                from: source)
        }
    }
}
