import CDetectorPlugin
import DetectorAPI

/// Owns a plugin's model.
private final class PlainHandle {
    let pointer: OpaquePointer
    private let table: PlainTable
    /// The model may score from these bytes, so they outlive it.
    private let artifact: ArtifactBytes?

    init(_ table: PlainTable, _ pointer: OpaquePointer, artifact: ArtifactBytes?) {
        self.table = table
        self.pointer = pointer
        self.artifact = artifact
    }

    deinit {
        withExtendedLifetime(artifact) { table.destroyModel(pointer) }
    }
}

/// A model in plain C. `@unchecked Sendable`: the contract makes it immutable and its functions safe to call
/// from any number of threads.
class PlainModel: DetectorModel, @unchecked Sendable {
    fileprivate let table: PlainTable
    fileprivate let handle: PlainHandle
    let columns: Int
    private let encodedSize: Int

    /// Takes over what `fit`, `decode` or `learned_model` gave.
    ///
    /// - Parameters:
    ///   - columns: What it must have; nil: any number.
    ///   - artifact: What the model was decoded from.
    /// - Throws: `PlainFault` for a model that contradicts the contract; it is destroyed.
    static func make(_ table: PlainTable, _ pointer: OpaquePointer?, columns: Int?, artifact: ArtifactBytes?)
        throws -> any DetectorModel
    {
        guard let pointer else { throw PlainFault("\(table.info.id) gave no model and no error") }
        let handle = PlainHandle(table, pointer, artifact: artifact)
        let count = table.columnCount(pointer)
        guard (1...PlainTable.maximumColumns).contains(count), columns == nil || columns == Int(count) else {
            throw PlainFault(
                "\(table.info.id)'s model has \(count) columns, not \(columns.map(String.init) ?? "1 to 65,536")"
            )
        }
        let size = table.encodedSize(pointer)
        guard (1...PlainTable.maximumArtifactSize).contains(size) else {
            throw PlainFault("\(table.info.id)'s artifact has \(size) bytes")
        }
        let parts = Parts(table: table, handle: handle, columns: Int(count), encodedSize: Int(size))
        switch (table.explanation, table.learning) {
        case (nil, nil): return PlainModel(parts)
        case (let explanation?, nil): return try ExplainingPlainModel(parts, explanation)
        case (nil, let learning?): return UpdatingPlainModel(parts, learning)
        case (let explanation?, let learning?):
            return try ExplainingUpdatingPlainModel(parts, explanation, learning)
        }
    }

    fileprivate struct Parts {
        let table: PlainTable
        let handle: PlainHandle
        let columns: Int
        let encodedSize: Int
    }

    fileprivate init(_ parts: Parts) {
        table = parts.table
        handle = parts.handle
        columns = parts.columns
        encodedSize = parts.encodedSize
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: scores.count, of: rows.count)
        guard rows.count > 0 else { return }
        // A score that is not filled in is found as one that is no number.
        scores.update(repeating: .nan)
        try table.call("score") { message in
            table.score(
                handle.pointer, rows.values.baseAddress, UInt64(rows.count), scores.baseAddress, message)
        }
        try checkFinite(UnsafeMutableBufferPointer(rebasing: scores[..<rows.count]), "score", perRow: 1)
    }

    func encode() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: encodedSize) { bytes, count in
            // What a plugin leaves out is zero, not what the memory held before.
            bytes.initialize(repeating: 0)
            table.encode(handle.pointer, bytes.baseAddress, UInt64(encodedSize))
            count = encodedSize
        }
    }

    fileprivate func explain(
        _ function: PlainTable.Explanation, _ rows: FeatureRows,
        into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try check(rows, places: scores.count, of: rows.count)
        try check(rows, places: contributions.count, of: rows.count * columns)
        guard rows.count > 0 else { return }
        scores.update(repeating: .nan)
        contributions.update(repeating: .nan)
        try table.call("explain") { message in
            function.explain(
                handle.pointer, rows.values.baseAddress, UInt64(rows.count), scores.baseAddress,
                contributions.baseAddress, message)
        }
        try checkFinite(UnsafeMutableBufferPointer(rebasing: scores[..<rows.count]), "score", perRow: 1)
        try checkFinite(
            UnsafeMutableBufferPointer(rebasing: contributions[..<(rows.count * columns)]), "contribution",
            perRow: columns)
    }

    private func check(_ rows: FeatureRows, places: Int, of needed: Int) throws {
        guard rows.columns == columns else {
            throw DetectorError.invalidInput("\(rows.columns) columns, but the model has \(columns)")
        }
        guard places >= needed else {
            throw DetectorError.invalidInput("\(places) places where \(needed) are needed")
        }
    }

    private func checkFinite(_ values: UnsafeMutableBufferPointer<Double>, _ what: String, perRow: Int) throws
    {
        guard let index = values.firstIndex(where: { !$0.isFinite }) else { return }
        throw PlainFault("\(table.info.id): a \(what) of row \(index / perRow) is \(values[index])")
    }
}

private func checkedExpectedScore(_ parts: PlainModel.Parts, _ explanation: PlainTable.Explanation) throws
    -> Double
{
    let score = explanation.expectedScore(parts.handle.pointer)
    guard score.isFinite else { throw PlainFault("\(parts.table.info.id)'s expected score is \(score)") }
    return score
}

private final class ExplainingPlainModel: PlainModel, Explaining, @unchecked Sendable {
    let expectedScore: Double
    private let explanation: PlainTable.Explanation

    init(_ parts: Parts, _ explanation: PlainTable.Explanation) throws {
        expectedScore = try checkedExpectedScore(parts, explanation)
        self.explanation = explanation
        super.init(parts)
    }

    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try explain(explanation, rows, into: scores, contributions: contributions)
    }
}

private class UpdatingPlainModel: PlainModel, Updating, @unchecked Sendable {
    private let learning: PlainTable.Learning

    init(_ parts: Parts, _ learning: PlainTable.Learning) {
        self.learning = learning
        super.init(parts)
    }

    func makeLearner() -> any DetectorLearner {
        PlainLearner(table, learning, model: handle.pointer, columns: columns)
    }
}

private final class ExplainingUpdatingPlainModel: UpdatingPlainModel, Explaining, @unchecked Sendable {
    let expectedScore: Double
    private let explanation: PlainTable.Explanation

    init(_ parts: Parts, _ explanation: PlainTable.Explanation, _ learning: PlainTable.Learning) throws {
        expectedScore = try checkedExpectedScore(parts, explanation)
        self.explanation = explanation
        super.init(parts, learning)
    }

    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try explain(explanation, rows, into: scores, contributions: contributions)
    }
}

/// A learner in plain C. Used by one thread at a time.
private final class PlainLearner: DetectorLearner {
    private let table: PlainTable
    private let learning: PlainTable.Learning
    private let columns: Int
    /// nil: the plugin could not make one.
    private let pointer: OpaquePointer?

    init(_ table: PlainTable, _ learning: PlainTable.Learning, model: OpaquePointer, columns: Int) {
        self.table = table
        self.learning = learning
        self.columns = columns
        pointer = learning.make(model)
    }

    deinit {
        if let pointer { learning.destroy(pointer) }
    }

    func learn(_ row: UnsafeBufferPointer<Float>) throws {
        guard let pointer else { throw PlainFault("\(table.info.id) could not make a learner") }
        guard row.count == columns else {
            throw DetectorError.invalidInput("\(row.count) features, but the model has \(columns)")
        }
        try table.call("learn") { learning.learn(pointer, row.baseAddress, $0) }
    }

    func model() -> any DetectorModel {
        do {
            guard let pointer else { throw PlainFault("\(table.info.id) could not make a learner") }
            return try PlainModel.make(table, learning.model(pointer), columns: columns, artifact: nil)
        } catch {
            return FailedModel(columns: columns, error: error)
        }
    }
}

/// Stands for the model that a learner could not give; says so when it is used. Its empty artifact is refused
/// by every detector.
private final class FailedModel: DetectorModel {
    let columns: Int
    let error: any Error

    init(columns: Int, error: any Error) {
        self.columns = columns
        self.error = error
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws { throw error }
    func encode() -> [UInt8] { [] }
}
