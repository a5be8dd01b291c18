import CDetectorPlugin
import DetectorAPI

/// The functions of a plugin in plain C, none of which is missing.
///
/// `@unchecked Sendable`: a constant copy of a constant table, whose functions may be called from any thread.
struct PlainTable: @unchecked Sendable {
    /// Features a row may have.
    static let maximumColumns: UInt64 = 65_536
    /// 1 GiB.
    static let maximumArtifactSize: UInt64 = 1 << 30

    typealias Message = UnsafeMutablePointer<detector_error>
    typealias ModelPlace = UnsafeMutablePointer<OpaquePointer?>

    /// Which features drove a score.
    struct Explanation {
        let expectedScore: @convention(c) (OpaquePointer?) -> Double
        let explain:
            @convention(c) (
                OpaquePointer?, UnsafePointer<Float>?, UInt64, UnsafeMutablePointer<Double>?,
                UnsafeMutablePointer<Double>?, Message?
            ) -> detector_status
    }

    /// Learning row by row.
    struct Learning {
        let make: @convention(c) (OpaquePointer?) -> OpaquePointer?
        let learn: @convention(c) (OpaquePointer?, UnsafePointer<Float>?, Message?) -> detector_status
        let model: @convention(c) (OpaquePointer?) -> OpaquePointer?
        let destroy: @convention(c) (OpaquePointer?) -> Void
    }

    let info: DetectorInfo
    let fit:
        @convention(c) (
            UnsafePointer<Float>?, UInt64, UInt64, UnsafePointer<Int8>?, UnsafePointer<detector_fit_context>?,
            ModelPlace?, Message?
        ) -> detector_status
    let decode: @convention(c) (UnsafePointer<UInt8>?, UInt64, ModelPlace?, Message?) -> detector_status
    let columnCount: @convention(c) (OpaquePointer?) -> UInt64
    let score:
        @convention(c) (
            OpaquePointer?, UnsafePointer<Float>?, UInt64, UnsafeMutablePointer<Double>?, Message?
        ) -> detector_status
    let encodedSize: @convention(c) (OpaquePointer?) -> UInt64
    let encode: @convention(c) (OpaquePointer?, UnsafeMutablePointer<UInt8>?, UInt64) -> Void
    let destroyModel: @convention(c) (OpaquePointer?) -> Void
    let explanation: Explanation?
    let learning: Learning?

    /// - Throws: `PlainFault` naming what is missing.
    init(checking pointer: UnsafePointer<detector_plugin_c>) throws(PlainFault) {
        // The first two fields have their place in every version; the others only once these two are right.
        guard pointer.pointee.abi_version == DETECTOR_PLUGIN_C_ABI_VERSION else {
            throw PlainFault(
                "its table is of C ABI version \(pointer.pointee.abi_version), this host's is "
                    + "\(DETECTOR_PLUGIN_C_ABI_VERSION)")
        }
        let size = MemoryLayout<detector_plugin_c>.size
        guard Int(pointer.pointee.table_size) >= size else {
            throw PlainFault("its table has \(pointer.pointee.table_size) bytes, \(size) are needed")
        }
        let table = pointer.pointee
        info = try PlainDescription(checking: table).info
        guard let fit = table.fit, let decode = table.decode, let columnCount = table.column_count,
            let score = table.score, let encodedSize = table.encoded_size, let encode = table.encode,
            let destroyModel = table.destroy_model
        else { throw PlainFault("a function of its table that is not optional is NULL") }
        self.fit = fit
        self.decode = decode
        self.columnCount = columnCount
        self.score = score
        self.encodedSize = encodedSize
        self.encode = encode
        self.destroyModel = destroyModel
        switch (table.expected_score, table.explain) {
        case (let expectedScore?, let explain?):
            explanation = Explanation(expectedScore: expectedScore, explain: explain)
        case (nil, nil): explanation = nil
        default: throw PlainFault("of expected_score and explain, one is NULL: give both or none")
        }
        switch (table.make_learner, table.learn, table.learned_model, table.destroy_learner) {
        case (let make?, let learn?, let model?, let destroy?):
            learning = Learning(make: make, learn: learn, model: model, destroy: destroy)
        case (nil, nil, nil, nil): learning = nil
        default: throw PlainFault("of the learner's four functions, some are NULL: give all or none")
        }
    }

    /// Calls a function that gives a status.
    ///
    /// - Throws: `DetectorError` as the status says; `PlainFault` for a failure of the plugin itself.
    func call(_ name: String, _ body: (Message) -> detector_status) throws {
        var error = detector_error()
        let status = body(&error)
        if status == DETECTOR_OK { return }
        let message = withUnsafeBytes(of: error.message) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let reason = message.isEmpty ? "\(info.id) does not say why" : message
        switch status {
        case DETECTOR_INVALID_INPUT: throw DetectorError.invalidInput(reason)
        case DETECTOR_INVALID_PARAMETER:
            let isKnown = error.parameter < UInt64(info.parameters.count)
            let name = isKnown ? info.parameters[Int(error.parameter)].name : "number \(error.parameter)"
            throw DetectorError.invalidParameter(name: name, reason: reason)
        case DETECTOR_INVALID_ARTIFACT: throw DetectorError.invalidArtifact(reason)
        case DETECTOR_CANCELLED: throw DetectorError.cancelled
        default: throw PlainFault("\(info.id): \(name) failed with status \(status): \(reason)")
        }
    }
}
