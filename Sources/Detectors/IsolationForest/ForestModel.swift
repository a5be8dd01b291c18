import DetectorAPI

/// A fitted forest: its plain form in memory, the artifact's own bytes if they are plain, and where in it things are.
final class ForestModel: Explaining, Sizing {
    let artifact: ArtifactBytes
    let payload: ForestPayload
    private let walk: ForestWalk

    /// - Throws: `DetectorError.invalidArtifact`.
    init(decoding artifact: ArtifactBytes, walk: ForestWalk = .best) throws(DetectorError) {
        self.walk = walk
        payload = try ForestPayload(readingHeader: artifact.bytes)
        if payload.isPacked {
            self.artifact = try ForestPacking(payload).expand(artifact.bytes)
        } else {
            try payload.checkPlain(artifact.bytes)
            self.artifact = artifact
        }
    }

    /// A forest just grown, which needs no checks.
    init(_ payload: ForestPayload, _ artifact: ArtifactBytes) {
        self.payload = payload
        self.artifact = artifact
        walk = .best
    }

    var columns: Int { payload.shape.columns }
    var sizeInMemory: Int { artifact.bytes.count }

    var expectedScore: Double {
        PathLength.score(
            sum: payload.expectedSum, trees: payload.shape.trees, normaliser: payload.normaliser)
    }

    func encode() -> [UInt8] {
        payload.isPacked ? ForestPacking(payload).pack(artifact.bytes) : [UInt8](artifact.bytes)
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try rows.check(columns: columns, places: scores.count)
        withExtendedLifetime(artifact) {
            let forest = ForestPointers(payload, artifact.bytes)
            switch payload.leafWidth {
            case 1: forest.score(rows, into: scores, leaf: UInt8.self, walk: walk)
            case 2: forest.score(rows, into: scores, leaf: UInt16.self, walk: walk)
            default: forest.score(rows, into: scores, leaf: UInt32.self, walk: walk)
            }
        }
    }

    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try rows.check(columns: columns, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        withExtendedLifetime(artifact) {
            let forest = ForestPointers(payload, artifact.bytes)
            switch payload.leafWidth {
            case 1:
                forest.explain(rows, into: scores, contributions: contributions, leaf: UInt8.self, walk: walk)
            case 2:
                forest.explain(
                    rows, into: scores, contributions: contributions, leaf: UInt16.self, walk: walk)
            default:
                forest.explain(
                    rows, into: scores, contributions: contributions, leaf: UInt32.self, walk: walk)
            }
        }
    }
}

extension FeatureRows {
    /// - Throws: `DetectorError.invalidInput` for rows of another width or too few places for the scores.
    func check(columns: Int, places: Int) throws {
        guard self.columns == columns else {
            throw DetectorError.invalidInput("\(self.columns) columns, but the model has \(columns)")
        }
        guard places >= count else {
            throw DetectorError.invalidInput("\(places) places for \(count) scores")
        }
    }
}

/// A checked artifact as pointers, for the time of one call.
struct ForestPointers {
    let payload: ForestPayload
    let shape: ForestShape
    let centres: UnsafePointer<Float>
    let paths: UnsafePointer<Int64>
    let origins: UnsafePointer<ForestPayload.LeafOrigin>
    let nodes: UnsafePointer<UInt32>
    let leaves: UnsafeRawPointer

    init(_ payload: ForestPayload, _ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress.unsafelyUnwrapped  // checked: not empty
        self.payload = payload
        shape = payload.shape
        centres = base.advanced(by: payload.centresOffset).assumingMemoryBound(to: Float.self)
        paths = base.advanced(by: payload.pathsOffset).assumingMemoryBound(to: Int64.self)
        origins = base.advanced(by: payload.originsOffset).assumingMemoryBound(
            to: ForestPayload.LeafOrigin.self)
        nodes = base.advanced(by: payload.nodesOffset).assumingMemoryBound(to: UInt32.self)
        leaves = base.advanced(by: payload.leavesOffset)
    }
}
