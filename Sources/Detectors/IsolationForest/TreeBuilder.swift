import DetectorAPI

/// Grows one tree after another by random cuts, as Liu et al. 2008, algorithm 2.
struct TreeBuilder {
    private let shape: ForestShape
    private let sampleSize: Int
    private let centres: [Float]
    /// Keys of the sample, column after column; 0 is missing.
    private var keys: [UInt32]
    /// Rows of the sample, in the order of the leaves as far as they are known.
    private var order: [UInt32]
    private var spare: [UInt32]
    /// A permutation of the columns; of each node, the first so many may still vary.
    private var features: [Int]
    private var stack: [Node] = []

    private struct Node {
        var first: Int
        var count: Int
        var level: Int
        var position: Int
        var features: Int
    }

    init(_ shape: ForestShape, sampleSize: Int, centres: [Float]) {
        self.shape = shape
        self.sampleSize = sampleSize
        self.centres = centres
        keys = [UInt32](repeating: 0, count: sampleSize * shape.columns)
        order = [UInt32](repeating: 0, count: sampleSize)
        spare = order
        features = Array(0..<shape.columns)
    }

    mutating func build(
        _ rows: FeatureRows, _ chosen: [UInt32], featureShare: Double, _ generator: inout SeededGenerator,
        words: UnsafeMutablePointer<UInt32>, leaves: UnsafeMutablePointer<LeafCode>
    ) {
        gather(rows, chosen)
        let used = chooseFeatures(share: featureShare, &generator)
        stack.append(Node(first: 0, count: sampleSize, level: 0, position: 0, features: used))
        while var node = stack.popLast() {
            if node.count == 1 || node.level == shape.levels {
                writeLeaf(node, leaves)
                continue
            }
            guard let (word, leftCount) = cut(&node, &generator) else {
                writeLeaf(node, leaves)
                continue
            }
            words[shape.word(level: node.level, position: node.position)] = word
            stack.append(
                Node(
                    first: node.first + leftCount, count: node.count - leftCount, level: node.level + 1,
                    position: 2 * node.position + 1, features: node.features))
            stack.append(
                Node(
                    first: node.first, count: leftCount, level: node.level + 1,
                    position: 2 * node.position, features: node.features))
        }
    }

    private mutating func gather(_ rows: FeatureRows, _ chosen: [UInt32]) {
        for row in 0..<sampleSize {
            order[row] = UInt32(row)
            let values = rows.values.baseAddress.unsafelyUnwrapped + Int(chosen[row]) * shape.columns
            for column in 0..<shape.columns {
                let value = values[column]
                keys[column * sampleSize + row] =
                    value.isNaN ? FeatureKey.missingLow : FeatureKey.key(of: value, centre: centres[column])
            }
        }
    }

    private mutating func chooseFeatures(share: Double, _ generator: inout SeededGenerator) -> Int {
        for column in 0..<shape.columns { features[column] = column }
        let used = max(1, Int(Double(shape.columns) * share))
        if used < shape.columns {
            for place in 0..<used {
                features.swapAt(place, place + generator.below(shape.columns - place))
            }
        }
        return used
    }

    private func writeLeaf(_ node: Node, _ leaves: UnsafeMutablePointer<LeafCode>) {
        let below = shape.levels - node.level
        let code = LeafCode(depth: node.level, count: node.count)
        (leaves + node.position << below).update(repeating: code, count: 1 << below)
    }

    /// Cuts a node at a random place of a random column, and moves its rows to the two sides.
    ///
    /// - Returns: The word and the number of rows on the left, or nil if no column varies.
    private mutating func cut(
        _ node: inout Node, _ generator: inout SeededGenerator
    ) -> (word: UInt32, leftCount: Int)? {
        while node.features > 0 {
            let place = generator.below(node.features)
            let feature = features[place]
            let (low, high, missing) = range(node, feature)
            if low < high, let threshold = threshold(low, high, feature, &generator) {
                return part(node, feature, threshold, missing: missing)
            }
            node.features -= 1
            features.swapAt(place, node.features)
        }
        return nil
    }

    /// The least and the greatest key, without missing values.
    private func range(_ node: Node, _ feature: Int) -> (low: UInt32, high: UInt32, missing: Int) {
        var low = UInt32.max
        var high: UInt32 = 0
        var missing = 0
        for place in node.first..<node.first + node.count {
            let key = keys[feature * sampleSize + Int(order[place])]
            if key == FeatureKey.missingLow {
                missing += 1
            } else {
                low = min(low, key)
                high = max(high, key)
            }
        }
        return (low, high, missing)
    }

    /// A word whose high bits are a threshold uniform between two values, nil if none is fine enough.
    ///
    /// At least one key is not above it and at least one is.
    private func threshold(
        _ low: UInt32, _ high: UInt32, _ feature: Int, _ generator: inout SeededGenerator
    ) -> UInt32? {
        let lowest = Double(FeatureKey.value(of: low))
        let highest = Double(FeatureKey.value(of: high))
        let value = Float(lowest + generator.unit() * (highest - lowest))
        let step = shape.selectorMask &+ 1
        var word = FeatureKey.key(of: value, centre: 0) & ~shape.selectorMask | UInt32(feature)
        if word < low { word &+= step }
        if word >= high { word &-= step }
        // The bit that says where missing values go is still to be set.
        return word >= low && word | shape.missingBit < high ? word : nil
    }

    private mutating func part(
        _ node: Node, _ feature: Int, _ threshold: UInt32, missing: Int
    ) -> (word: UInt32, leftCount: Int) {
        var left = 0
        for place in node.first..<node.first + node.count {
            let key = keys[feature * sampleSize + Int(order[place])]
            if key != FeatureKey.missingLow && key <= threshold { left += 1 }
        }
        // Missing values go with the majority, so that a gap alone never looks unusual.
        let missingRight = left < node.count - missing - left
        let word = threshold | (missingRight ? shape.missingBit : 0)
        let split = node.first + (missingRight ? left : left + missing)
        var leftPlace = node.first
        var rightPlace = split
        for place in node.first..<node.first + node.count {
            let row = order[place]
            let key = keys[feature * sampleSize + Int(row)]
            let goesRight = key == FeatureKey.missingLow ? missingRight : key > word
            if goesRight {
                spare[rightPlace] = row
                rightPlace += 1
            } else {
                spare[leftPlace] = row
                leftPlace += 1
            }
        }
        for place in node.first..<node.first + node.count { order[place] = spare[place] }
        return (word, split - node.first)
    }
}
