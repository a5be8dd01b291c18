import CLightGBM
import DetectorAPI
import Foundation

/// LightGBM's library, loaded when a model is fitted.
struct LightGBM: Sendable {
    let functions: lightgbm_functions

    /// Where ML_SERVICE_LIGHTGBM says, else as the loader finds it.
    static var name: String {
        ProcessInfo.processInfo.environment["ML_SERVICE_LIGHTGBM"] ?? "lib_lightgbm.so"
    }

    /// - Throws: `DetectorError.unavailable`.
    init(_ name: String = name) throws {
        var functions = lightgbm_functions()
        var reason = [CChar](repeating: 0, count: 1_024)
        guard lightgbm_open(name, &functions, &reason, reason.count) == 1 else {
            let text = String(
                decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw DetectorError.unavailable(
                "boosted-trees is trained by LightGBM, which cannot be loaded (\(text)): run scripts/setup, or name "
                    + "lib_lightgbm.so in ML_SERVICE_LIGHTGBM; models that are trained go on serving without it"
            )
        }
        self.functions = functions
    }

    /// - Throws: `DetectorError.invalidInput` with what LightGBM says.
    func check(_ status: Int32) throws {
        guard status != 0 else { return }
        let text = functions.last_error().map { String(cString: $0) } ?? "no reason given"
        throw DetectorError.invalidInput("LightGBM: \(text)")
    }
}

/// A table as LightGBM has it, its values in bins.
final class BinnedRows {
    let library: LightGBM
    fileprivate let handle: UnsafeMutableRawPointer

    /// - Parameter settings: LightGBM's, `name=value` with spaces between.
    init(_ library: LightGBM, _ rows: LabelledRows, settings: String) throws {
        self.library = library
        var handle: UnsafeMutableRawPointer?
        try rows.withRows { table in
            try library.check(
                library.functions.dataset_create(
                    table.values.baseAddress, 0, Int32(table.count), Int32(table.columns), 1, settings, nil,
                    &handle))
        }
        guard let handle else { throw DetectorError.invalidInput("LightGBM made no table") }
        self.handle = handle
    }

    deinit { _ = library.functions.dataset_free(handle) }
}

/// Trees being grown. Used by one thread.
final class Booster {
    private let rows: BinnedRows
    private let count: Int
    private let handle: UnsafeMutableRawPointer

    /// - Parameter count: Of the rows.
    init(_ rows: BinnedRows, count: Int, settings: String) throws {
        var handle: UnsafeMutableRawPointer?
        try rows.library.check(rows.library.functions.booster_create(rows.handle, settings, &handle))
        guard let handle else { throw DetectorError.invalidInput("LightGBM began no trees") }
        self.rows = rows
        self.count = count
        self.handle = handle
    }

    deinit { _ = rows.library.functions.booster_free(handle) }

    /// Each row's sum over the trees so far.
    func readSums(into sums: inout [Double]) throws {
        var written: Int64 = 0
        try rows.library.check(rows.library.functions.booster_sums(handle, 0, &written, &sums))
        guard Int(written) == count else {
            throw DetectorError.invalidInput("LightGBM gave \(written) sums for \(count) rows")
        }
    }

    /// Grows a tree.
    ///
    /// - Returns: Whether there was something to split.
    func grow(gradients: [Float], hessians: [Float]) throws -> Bool {
        var isFinished: Int32 = 0
        try rows.library.check(
            rows.library.functions.booster_update(handle, gradients, hessians, &isFinished))
        return isFinished == 0
    }

    /// The trees as LightGBM writes them.
    func text() throws -> String {
        var size: Int64 = 0
        try rows.library.check(rows.library.functions.booster_save(handle, 0, -1, 0, 0, &size, nil))
        var text = [CChar](repeating: 0, count: Int(size) + 1)
        try rows.library.check(
            rows.library.functions.booster_save(handle, 0, -1, 0, Int64(text.count), &size, &text))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
