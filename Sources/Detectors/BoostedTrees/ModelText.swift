import DetectorAPI

/// A tree as LightGBM grew it: inner nodes by their numbers, leaves by the complements of theirs.
struct GrownTree {
    struct Node {
        let column: Int
        /// Values up to it go left. Of a categorical cut: the number of its set.
        let threshold: Double
        let isCategorical: Bool
        let missing: Missing
        let left: Int
        let right: Int
    }

    /// Where a missing value goes.
    enum Missing {
        case left, right
        /// It counts as 0: there was none in training.
        case asZero
    }

    let nodes: [Node]
    let leafValues: [Double]
    /// Training rows of each leaf.
    let leafRows: [Int]
    /// The categories that go left, for each set.
    let sets: [[Int]]
}

/// Reads the text that LightGBM writes a model as (version 4 of it).
struct ModelText {
    /// Logarithms of odds are far smaller.
    private static let greatestLeaf = 1e6

    let trees: [GrownTree]

    /// - Throws: `DetectorError.invalidInput` for a text that is not understood.
    init(_ text: String, columns: Int) throws {
        var sections: [[Substring: Substring]] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("end of trees") { break }
            guard let sign = line.firstIndex(of: "=") else { continue }
            let (name, value) = (line[..<sign], line[line.index(after: sign)...])
            if name == "Tree" {
                sections.append([:])
            } else if !sections.isEmpty {
                sections[sections.count - 1][name] = value
            }
        }
        trees = try sections.map { try Self.tree($0, columns: columns) }
    }

    private static func tree(_ section: [Substring: Substring], columns: Int) throws -> GrownTree {
        let leafValues = try numbers(section, "leaf_value", Double.self)
        // A tree that is one leaf has no other lists.
        guard leafValues.count > 1 else {
            guard let value = leafValues.first, abs(value) <= greatestLeaf else {
                throw misunderstood("leaf_value")
            }
            return GrownTree(nodes: [], leafValues: [value], leafRows: [1], sets: [])
        }
        let leafRows = try numbers(section, "leaf_count", Int.self)
        let features = try numbers(section, "split_feature", Int.self)
        let thresholds = try numbers(section, "threshold", Double.self)
        let decisions = try numbers(section, "decision_type", Int.self)
        let lefts = try numbers(section, "left_child", Int.self)
        let rights = try numbers(section, "right_child", Int.self)
        let inner = leafValues.count - 1
        guard
            [features.count, thresholds.count, decisions.count, lefts.count, rights.count] == [
                inner, inner, inner, inner, inner,
            ],
            leafRows.count == inner + 1, leafValues.allSatisfy({ abs($0) <= Self.greatestLeaf })
        else { throw misunderstood("its lists are of different lengths") }
        let sets = try sets(section)
        let nodes = try (0..<inner).map { place in
            let isCategorical = decisions[place] & 1 == 1
            guard (0..<columns).contains(features[place]), !thresholds[place].isNaN,
                !isCategorical || sets.indices.contains(Int(exactly: thresholds[place]) ?? -1)
            else { throw misunderstood("node \(place)") }
            let missing: GrownTree.Missing
            switch decisions[place] >> 2 & 3 {
            case 0: missing = .asZero
            case 2: missing = decisions[place] & 2 != 0 ? .left : .right
            default: throw misunderstood("decision_type \(decisions[place])")
            }
            return GrownTree.Node(
                column: features[place], threshold: thresholds[place], isCategorical: isCategorical,
                missing: missing, left: lefts[place], right: rights[place])
        }
        return GrownTree(nodes: nodes, leafValues: leafValues, leafRows: leafRows, sets: sets)
    }

    /// Sets of categories: bits in words, from one boundary to the next.
    private static func sets(_ section: [Substring: Substring]) throws -> [[Int]] {
        guard section["cat_boundaries"] != nil else { return [] }
        let boundaries = try numbers(section, "cat_boundaries", Int.self)
        let words = try numbers(section, "cat_threshold", UInt32.self)
        return try zip(boundaries, boundaries.dropFirst()).map { start, end in
            guard start <= end, start >= 0, end <= words.count else { throw misunderstood("cat_boundaries") }
            return words[start..<end].enumerated().flatMap { place, word in
                (0..<32).filter { word >> UInt32($0) & 1 == 1 }.map { 32 * place + $0 }
            }
        }
    }

    private static func numbers<Number: LosslessStringConvertible>(
        _ section: [Substring: Substring], _ name: Substring, _: Number.Type
    ) throws -> [Number] {
        guard let line = section[name] else { throw misunderstood("no \(name)") }
        return try line.split(separator: " ").map { text in
            guard let number = Number(String(text)) else { throw misunderstood("\(name) has '\(text)'") }
            return number
        }
    }

    private static func misunderstood(_ what: String) -> DetectorError {
        .invalidInput(
            "LightGBM's trees are not understood (\(what)): scripts/setup installs the version that is")
    }
}
