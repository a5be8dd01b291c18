import DetectorAPI

extension IsolationForest: TreeImporting {
    public func model(of trees: IsolationTrees) throws -> any DetectorModel { try ThresholdModel(trees) }
}

extension ForestModel: TreeExporting {
    /// The keys' comparisons as comparisons of values.
    func isolationTrees() throws -> IsolationTrees {
        try withExtendedLifetime(artifact) {
            let forest = ForestPointers(payload, artifact.bytes)
            let trees = try (0..<payload.shape.trees).map { tree in
                switch payload.leafWidth {
                case 1: try forest.nodes(ofTree: tree, leaf: UInt8.self)
                case 2: try forest.nodes(ofTree: tree, leaf: UInt16.self)
                default: try forest.nodes(ofTree: tree, leaf: UInt32.self)
                }
            }
            return IsolationTrees(
                columns: columns, sampleSize: payload.sampleSize, normaliser: payload.normaliser, trees: trees
            )
        }
    }
}

extension CategoricalModel: TreeExporting {
    /// The trees of the wide rows, and the orders that make a row wide.
    func isolationTrees() throws -> IsolationTrees {
        guard let forest = forest as? any TreeExporting else {
            throw DetectorError.invalidInput("its cuts are in several columns each")
        }
        var trees = try forest.isolationTrees()
        trees.columns = columns
        trees.orders = orders.cutColumns
        return trees
    }
}

extension CategoryOrders {
    fileprivate var cutColumns: [IsolationTrees.CategoryOrder] {
        var found: [IsolationTrees.CategoryOrder] = []
        var first = 0
        for (index, own) in categorical.enumerated() {
            for order in 0..<orders {
                let end = first + Int(own.cardinality)
                found.append(
                    IsolationTrees.CategoryOrder(
                        cutColumn: cutColumn(of: index, order: order), column: Int(own.column),
                        places: places[first..<end].map(Int.init)))
                first = end
            }
        }
        return found.sorted { $0.cutColumn < $1.cutColumn }
    }
}

extension ForestPointers {
    private struct Place {
        var level: Int
        var position: Int
    }

    fileprivate func nodes<Leaf: FixedWidthInteger>(
        ofTree tree: Int, leaf: Leaf.Type
    ) throws(DetectorError) -> [IsolationNode] {
        let words = nodes + tree * shape.wordsPerTree
        let leaves = leaves.assumingMemoryBound(to: Leaf.self) + tree * shape.leavesPerTree
        var found: [IsolationNode] = []
        // A node's place in the queue is its place among the tree's nodes.
        var queue = [Place(level: 0, position: 0)]
        while found.count < queue.count {
            var place = queue[found.count]
            var word = ForestShape.noNode
            while place.level < shape.levels {
                word = words[shape.word(level: place.level, position: place.position)]
                if word != ForestShape.noNode { break }
                // As a walk does where there is no node: left, until there is one or a leaf.
                place = Place(level: place.level + 1, position: 2 * place.position)
            }
            guard place.level < shape.levels else {
                let kind = Int(leaves[place.position])
                found.append(
                    .leaf(pathLength: Double(paths[kind]) * 0x1p-32, rows: Int(origins[kind].count)))
                continue
            }
            let column = Int(word & (shape.missingBit - 1))
            guard let threshold = threshold(word, centre: centres[column]) else {
                throw .invalidArtifact("a node of tree \(tree) lets no value of column \(column) go left")
            }
            found.append(
                .cut(
                    column: column, threshold: threshold, missingGoesLeft: word & shape.missingBit == 0,
                    left: queue.count, right: queue.count + 1))
            queue.append(Place(level: place.level + 1, position: 2 * place.position))
            queue.append(Place(level: place.level + 1, position: 2 * place.position + 1))
        }
        return found
    }

    /// The greatest value whose key does not exceed the word. Keys do not decrease as values grow, so that exactly the
    /// values up to it go left; infinity is among them.
    private func threshold(_ word: UInt32, centre: Float) -> Float? {
        func goesLeft(_ value: Float) -> Bool {
            FeatureKey.key(of: value, centre: centre) & shape.keyMask <= word
        }
        // The keys of the values themselves, uncentred, number all values in order.
        var low = FeatureKey.key(ofCentred: -.infinity)
        var high = FeatureKey.key(ofCentred: .infinity)
        guard goesLeft(FeatureKey.value(of: low)) else { return nil }
        while low < high {
            let middle = low + (high - low + 1) / 2
            if goesLeft(FeatureKey.value(of: middle)) { low = middle } else { high = middle - 1 }
        }
        return FeatureKey.value(of: low)
    }
}
