import DetectorAPI

/// Grows the trees of a forest and writes its artifact.
struct ForestFitter {
    let rows: FeatureRows
    let parameters: ForestParameters
    let context: FitContext
    let sampleSize: Int

    init(_ rows: FeatureRows, _ parameters: ForestParameters, _ context: FitContext) throws {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        guard rows.columns <= ForestShape.maximumColumns else {
            throw DetectorError.invalidInput("more than \(ForestShape.maximumColumns) columns")
        }
        guard rows.count <= UInt32.max else { throw DetectorError.invalidInput("more than 2^32 rows") }
        self.rows = rows
        self.parameters = parameters
        self.context = context
        sampleSize = min(parameters.sampleSize, rows.count)
    }

    func fit() throws -> ForestModel {
        // Levels as in the paper: the height of a perfectly balanced tree of the sample.
        let levels = sampleSize <= 1 ? 0 : Int.bitWidth - (sampleSize - 1).leadingZeroBitCount
        let shape = ForestShape(columns: rows.columns, trees: parameters.trees, levels: levels)
        var sampler = RowSampler(rows: rows.count, size: sampleSize)
        let centres = medians(&sampler)
        var builder = TreeBuilder(shape, sampleSize: sampleSize, centres: centres)
        var nodes = [UInt32](repeating: ForestShape.noNode, count: shape.trees * shape.wordsPerTree)
        var leaves = [LeafCode](repeating: LeafCode(), count: shape.trees * shape.leavesPerTree)
        for tree in 0..<shape.trees {
            if tree % 16 == 0 {
                if context.isCancelled() { throw DetectorError.cancelled }
                context.progress(Double(tree) / Double(shape.trees))
            }
            var generator = SeededGenerator(seed: context.seed, stream: UInt64(tree))
            sampler.draw(&generator)
            nodes.withUnsafeMutableBufferPointer { nodes in
                leaves.withUnsafeMutableBufferPointer { leaves in
                    builder.build(
                        rows, sampler.chosen, featureShare: parameters.columnShare, &generator,
                        words: nodes.baseAddress.unsafelyUnwrapped + tree * shape.wordsPerTree,
                        leaves: leaves.baseAddress.unsafelyUnwrapped + tree * shape.leavesPerTree)
                }
            }
        }
        context.progress(1)
        return try model(shape, centres, nodes, leaves)
    }

    /// The columns' medians in some of the rows; 0 for a column without values there.
    private func medians(_ sampler: inout RowSampler) -> [Float] {
        var generator = SeededGenerator(seed: context.seed, stream: .max)
        sampler.draw(&generator)
        let chosen = sampler.chosen.prefix(63)
        return (0..<rows.columns).map { column in
            let values = chosen.map { rows.values[Int($0) * rows.columns + column] }.filter(\.isFinite)
                .sorted()
            return values.isEmpty ? 0 : values[values.count / 2]
        }
    }

    private func model(
        _ shape: ForestShape, _ centres: [Float], _ nodes: [UInt32], _ leaves: [LeafCode]
    ) throws -> ForestModel {
        var kindOfCode: [LeafCode: UInt32] = [:]
        var paths: [Int64] = []
        var origins: [ForestPayload.LeafOrigin] = []
        var expected = 0.0
        var last = LeafCode()
        var lastKind: UInt32 = 0
        let numbers = leaves.map { code -> UInt32 in
            if code != last {
                last = code
                if let known = kindOfCode[code] {
                    lastKind = known
                } else {
                    lastKind = UInt32(paths.count)
                    kindOfCode[code] = lastKind
                    paths.append(PathLength.fixed(depth: code.depth, count: code.count))
                    origins.append(
                        ForestPayload.LeafOrigin(count: UInt32(code.count), depth: UInt32(code.depth)))
                }
            }
            let share = Double(code.count) / Double(1 << (shape.levels - code.depth))
            expected += share * Double(paths[Int(lastKind)]) * 0x1p-32
            return lastKind
        }
        let payload = ForestPayload(
            shape: shape, sampleSize: sampleSize, normaliser: PathLength.average(sampleSize),
            expectedSum: expected / Double(sampleSize), kinds: paths.count,
            leafWidth: paths.count <= 1 << 8 ? 1 : paths.count <= 1 << 16 ? 2 : 4)
        let artifact = ArtifactBytes(count: payload.size) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            payload.writeHeader(to: bytes)
            copy(centres, to: bytes, at: payload.centresOffset)
            copy(paths, to: bytes, at: payload.pathsOffset)
            copy(origins, to: bytes, at: payload.originsOffset)
            copy(nodes, to: bytes, at: payload.nodesOffset)
            switch payload.leafWidth {
            case 1: copy(numbers.map { UInt8($0) }, to: bytes, at: payload.leavesOffset)
            case 2: copy(numbers.map { UInt16($0) }, to: bytes, at: payload.leavesOffset)
            default: copy(numbers, to: bytes, at: payload.leavesOffset)
            }
        }
        return try ForestModel(artifact)
    }

    private func copy<Element>(_ source: [Element], to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        source.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + source.count]).copyMemory(
                from: source)
        }
    }
}

/// A leaf before its kind has a number.
struct LeafCode: Hashable {
    private var packed: UInt32 = 0

    init() {}
    init(depth: Int, count: Int) { packed = UInt32(depth) << 24 | UInt32(count) }

    var depth: Int { Int(packed >> 24) }
    var count: Int { Int(packed & 0xFF_FFFF) }
}
