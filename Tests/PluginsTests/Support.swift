import CDetectorPlugin
import DetectorAPI
import Foundation
import Glibc
import Logging
import Testing

@testable import Plugins

/// A folder of the test's own, removed with it.
final class Folder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "plugins-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
        try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
        return "\(path)/\(name)"
    }
}

/// What the build put beside the tests.
enum Built {
    static let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .path
    static let baseline = "\(folder)/libZScoreBaselinePlugin.so"
    static let forest = "\(folder)/libIsolationForestPlugin.so"
    static let ensemble = "\(folder)/libEnsemblePlugin.so"

    static func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func registry(_ folder: Folder) -> DetectorRegistry {
    DetectorRegistry(folders: [folder.path], logger: quiet)
}

/// A library's bytes and where things stand in them, found without the reader that is tested.
struct Library {
    var bytes: [UInt8]

    init(_ path: String) throws { bytes = try Built.bytes(path) }

    func number<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
        bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }

    mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        }
    }

    var sectionTable: Int { Int(number(40, UInt64.self)) }
    var sectionCount: Int { Int(number(60, UInt16.self)) }
    var segmentTable: Int { Int(number(32, UInt64.self)) }
    var segmentCount: Int { Int(number(56, UInt16.self)) }

    func sectionHeader(_ index: Int) -> Int { sectionTable + 64 * index }

    /// The header of the stamp's section: the one whose 128 bytes start with the magic.
    var stampHeader: Int {
        get throws {
            let magic = Array(DETECTOR_PLUGIN_MAGIC.utf8)
            let index = (0..<sectionCount).first { index in
                let offset = Int(number(sectionHeader(index) + 24, UInt64.self))
                return number(sectionHeader(index) + 32, UInt64.self) == 128
                    && bytes[offset...].starts(with: magic)
            }
            return sectionHeader(try #require(index))
        }
    }

    var stamp: Int { get throws { Int(number(try stampHeader + 24, UInt64.self)) } }
}

extension FitContext {
    static func test(_ detector: any Detector, columns: Int, seed: UInt64 = 1) throws -> FitContext {
        try TrialRun.context(for: detector.info, seed: seed, columns: columns)
    }
}

extension Detector {
    func fit(_ values: [Float], columns: Int, seed: UInt64 = 1) throws -> any DetectorModel {
        try values.withUnsafeBufferPointer {
            try fit(
                FeatureRows($0, columns: columns), labels: nil,
                context: .test(self, columns: columns, seed: seed))
        }
    }
}

extension DetectorModel {
    func scores(_ values: [Float]) throws -> [Double] {
        var scores = [Double](repeating: .nan, count: values.count / columns)
        try values.withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer {
                try score(FeatureRows(values, columns: columns), into: $0)
            }
        }
        return scores
    }
}

func randomRows(_ count: Int, columns: Int, seed: UInt64 = 7) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count * columns).map { _ in Float(generator.unit()) }
}
