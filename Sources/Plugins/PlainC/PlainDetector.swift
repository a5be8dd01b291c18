import CDetectorPlugin
import DetectorAPI

/// A detector in plain C, as the rest of the service sees it.
struct PlainDetector: Detector {
    let table: PlainTable

    /// - Parameter pointer: What `detector_plugin_c_main` gave.
    /// - Throws: `PlainFault`.
    init(checking pointer: UnsafePointer<detector_plugin_c>) throws(PlainFault) {
        table = try PlainTable(checking: pointer)
    }

    var info: DetectorInfo { table.info }

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
        -> any DetectorModel
    {
        guard context.columns.count == rows.columns else {
            throw DetectorError.invalidInput("\(context.columns.count) columns described of \(rows.columns)")
        }
        guard context.weights == nil else {
            throw DetectorError.invalidInput("a detector in plain C takes no weights of rows")
        }
        guard labels.map({ $0.count == rows.count }) ?? true else {
            throw DetectorError.invalidInput("there is not one label for each row")
        }
        var place: OpaquePointer?
        try withContext(context) { context in
            try withAnAddress(rows.values) { values in
                try table.call("fit") { message in
                    table.fit(
                        values, UInt64(rows.count), UInt64(rows.columns), labels?.baseAddress, context,
                        &place,
                        message)
                }
            }
        }
        return try PlainModel.make(table, place, columns: rows.columns, artifact: nil)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        var place: OpaquePointer?
        try withAnAddress(artifact.bytes.bindMemory(to: UInt8.self)) { bytes in
            try table.call("decode") { message in
                table.decode(bytes, UInt64(artifact.bytes.count), &place, message)
            }
        }
        return try PlainModel.make(table, place, columns: nil, artifact: artifact)
    }

    /// Lends the plugin what fitting depends on.
    private func withContext(
        _ context: FitContext, _ body: (UnsafePointer<detector_fit_context>) throws -> Void
    ) throws {
        let watcher = FitWatcher(context)
        let values = info.parameters.map { specification in
            Self.value(context.parameters.values[specification.name], of: specification)
        }
        // All names in one piece of memory that stays where it is.
        let names = context.columns.map { Array($0.name.utf8.prefix { $0 != 0 }) + [0] }
        try names.flatMap(\.self).withUnsafeBufferPointer { characters in
            var start = 0
            let columns = zip(context.columns, names).map { column, name in
                defer { start += name.count }
                let pointer = UnsafeRawPointer(characters.baseAddress!).advanced(by: start)
                var cardinality = 0
                if case .categorical(let count) = column.kind { cardinality = count }
                return detector_column(
                    name: pointer.assumingMemoryBound(to: CChar.self), cardinality: UInt64(cardinality))
            }
            try columns.withUnsafeBufferPointer { columns in
                try values.withUnsafeBufferPointer { values in
                    var lent = detector_fit_context(
                        seed: context.seed, columns: columns.baseAddress, parameters: values.baseAddress,
                        host: Unmanaged.passUnretained(watcher).toOpaque(),
                        is_cancelled: { FitWatcher.from($0).isCancelled() ? 1 : 0 },
                        progress: { FitWatcher.from($0).progress($1) })
                    try withExtendedLifetime(watcher) { try body(&lent) }
                }
            }
        }
    }

    private static func value(_ value: ParameterValue?, of specification: ParameterSpecification)
        -> detector_value
    {
        switch (value ?? specification.defaultValue, specification.kind) {
        case (.integer(let number), _): detector_value(integer: Int64(number), real: Double(number))
        case (.real(let number), _): detector_value(integer: 0, real: number)
        case (.boolean(let flag), _): detector_value(integer: flag ? 1 : 0, real: 0)
        case (.text(let text), .choice(let choices)):
            detector_value(integer: Int64(choices.firstIndex(of: text) ?? 0), real: 0)
        case (.text, _): detector_value(integer: 0, real: 0)
        }
    }
}

/// What the plugin's pointer to the host points to.
private final class FitWatcher {
    let context: FitContext

    init(_ context: FitContext) { self.context = context }

    static func from(_ pointer: UnsafeMutableRawPointer?) -> FitWatcher? {
        pointer.map { Unmanaged<FitWatcher>.fromOpaque($0).takeUnretainedValue() }
    }
}

extension FitWatcher? {
    /// A plugin that passes NULL for its host gets no answer but is not asked to stop.
    fileprivate func isCancelled() -> Bool { self?.context.isCancelled() ?? false }

    fileprivate func progress(_ completed: Double) {
        if completed.isFinite { self?.context.progress(min(max(completed, 0), 1)) }
    }
}

/// Lends a buffer's address; an empty one gets an address too, so that a plugin need not care.
func withAnAddress<Element>(
    _ buffer: UnsafeBufferPointer<Element>, _ body: (UnsafePointer<Element>) throws -> Void
) throws {
    if let address = buffer.baseAddress { return try body(address) }
    try withUnsafeTemporaryAllocation(of: Element.self, capacity: 1) { place in
        if let address = place.baseAddress { try body(UnsafePointer(address)) }
    }
}
