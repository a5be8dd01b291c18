import CDetectorPlugin
import Crypto
import DetectorAPI
import Foundation
import Glibc
import Logging
import Synchronization

/// A detector that is loaded, and the file it came from.
public struct LoadedDetector: Sendable {
    public let detector: any Detector
    public let info: DetectorInfo
    /// nil: linked into this process.
    public let path: String?
    /// Of the library's file, hexadecimal.
    public let sha256: String
}

/// A library that was not loaded, and why.
public struct PluginRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    public let path: String
    public let reason: String
    public var description: String { "\(path) is refused: \(reason)" }
}

/// Finds, checks and loads detector plugins. Thread-safe; libraries are never unloaded.
public final class DetectorRegistry: Sendable {
    private struct State {
        var loaded: [LoadedDetector] = []
        var refusals: [String: (sha256: String, refusal: PluginRefusal)] = [:]
        var seen: Set<String> = []
    }

    private let ownFolder: String?
    private let folders: [String]
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - ownFolder: The executable's folder, where libraries without a stamp are the build's own.
    ///   - folders: Folders in which every `lib*.so` should be a plugin.
    public init(ownFolder: String? = nil, folders: [String] = [], logger: Logger) {
        self.ownFolder = ownFolder
        self.folders = folders
        self.logger = logger
    }

    public var detectors: [LoadedDetector] { state.withLock { $0.loaded } }
    public var refusals: [PluginRefusal] {
        state.withLock { $0.refusals.values.map(\.refusal).sorted { $0.path < $1.path } }
    }

    /// The one loaded last under this id.
    public func detector(id: String) -> LoadedDetector? {
        state.withLock { $0.loaded.last { $0.info.id == id } }
    }

    /// Adds a detector that is linked into this process.
    public func register(_ detector: any Detector) {
        let loaded = LoadedDetector(detector: detector, info: detector.info, path: nil, sha256: "")
        state.withLock { $0.loaded.append(loaded) }
    }

    /// Looks for libraries that are new or have changed, and loads them.
    @discardableResult
    public func rescan() -> [PluginRefusal] {
        for folder in [ownFolder].compactMap(\.self) { scan(folder, isOwn: true) }
        for folder in folders { scan(folder, isOwn: false) }
        return refusals
    }

    private func scan(_ folder: String, isOwn: Bool) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names.sorted() where name.hasPrefix("lib") && name.hasSuffix(".so") {
            let path = folder + "/" + name
            guard let data = FileManager.default.contents(atPath: path) else { continue }
            let digest = hexadecimal(SHA256.hash(data: data))
            let isNew = state.withLock { state in
                guard !state.seen.contains(digest) else { return false }
                return state.refusals[path]?.sha256 != digest
            }
            guard isNew else { continue }
            do {
                let loaded = try load(path, data: data, digest: digest)
                state.withLock { state in
                    state.seen.insert(digest)
                    state.refusals[path] = nil
                    state.loaded.append(loaded)
                }
                logger.debug("detector loaded", metadata: ["id": "\(loaded.info.id)", "path": "\(path)"])
            } catch ELFSection.Failure.missing where isOwn {
                continue
            } catch {
                let refusal = (error as? PluginRefusal) ?? PluginRefusal(path: path, reason: "\(error)")
                state.withLock { $0.refusals[path] = (digest, refusal) }
                logger.warning("\(refusal)")
            }
        }
    }

    private func load(_ path: String, data: Data, digest: String) throws -> LoadedDetector {
        try data.withUnsafeBytes { try checkStamp($0) }
        // A private copy: writing over a file that is mapped, as `cp` does, would crash this process, and of one
        // path dlopen would give the old library again. The mapping outlives the name.
        let copy = FileManager.default.temporaryDirectory.path + "/ml-service-\(digest)-\(getpid()).so"
        try data.write(to: URL(filePath: copy))
        defer { unlink(copy) }
        guard let handle = dlopen(copy, RTLD_NOW | RTLD_LOCAL) else {
            throw PluginRefusal(path: path, reason: "the loader says: \(String(cString: dlerror()))")
        }
        guard let symbol = dlsym(handle, detectorPluginEntrySymbol) else {
            throw PluginRefusal(path: path, reason: "it exports no function \(detectorPluginEntrySymbol)")
        }
        typealias Entry = @convention(c) () -> UnsafeMutableRawPointer
        let entry = unsafeBitCast(symbol, to: Entry.self)
        let detector = DetectorEntry.take(entry()).detector
        return LoadedDetector(detector: detector, info: detector.info, path: path, sha256: digest)
    }
}

/// - Throws: Every field of the stamp that differs from what this host expects.
private func checkStamp(_ file: UnsafeRawBufferPointer) throws {
    let section = try ELFSection.read(DETECTOR_PLUGIN_SECTION, of: file)
    let size = MemoryLayout<detector_plugin_stamp>.size
    guard section.count == size else {
        throw ELFSection.Failure.damaged("its stamp has \(section.count) bytes, not \(size)")
    }
    let expected = detector_plugin_host_stamp().pointee
    let found = section.loadUnaligned(as: detector_plugin_stamp.self)
    var differences: [String] = []
    func compare(_ name: String, _ found: String, _ expected: String) {
        if found != expected { differences.append("\(name) is \(found), this host's is \(expected)") }
    }
    compare("the magic", text(found.magic), text(expected.magic))
    compare("the C ABI version", "\(found.c_abi_version)", "\(expected.c_abi_version)")
    compare("the Swift API version", "\(found.swift_api_version)", "\(expected.swift_api_version)")
    compare("the compiler", text(found.compiler), text(expected.compiler))
    guard differences.isEmpty else {
        throw ELFSection.Failure.wrongKind(differences.joined(separator: "; "))
    }
}

private func text<T>(_ characters: T) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
