import DetectorAPI
import Foundation
import Logging
import Synchronization

/// Finds, checks and loads detector plugins. Thread-safe; libraries are never unloaded.
///
/// A library is known by the SHA-256 of its bytes. A path whose bytes change is loaded as a further library:
/// models of the old one keep its code, new ones get the new one's.
public final class DetectorRegistry: Sendable {
    private struct State {
        /// In the order in which they became current.
        var loaded: [LoadedDetector] = []
        /// The checksum that a path had when it was last looked at.
        var current: [String: String] = [:]
        var refusals: [Refused] = []

        mutating func add(_ detector: LoadedDetector) {
            loaded.append(detector)
            if let path = detector.path { current[path] = detector.sha256 }
        }

        /// The path has these bytes: whether they are loaded already. If the path had others before, the
        /// detector becomes the newest of its id again.
        mutating func hasLoaded(_ sha256: String, at path: String) -> Bool {
            guard let index = loaded.firstIndex(where: { $0.sha256 == sha256 }) else { return false }
            if let before = current[path], before != sha256 { loaded.append(loaded.remove(at: index)) }
            current[path] = sha256
            return true
        }
    }

    private struct Refused {
        /// nil: it could not be read.
        let sha256: String?
        let refusal: PluginRefusal
    }

    private let ownFolder: String?
    private let folders: [String]
    private let allowed: PluginAllowance
    private let probe: PluginProbe?
    private let isolation: PluginIsolation?
    private let logger: Logger
    private let state = Mutex(State())
    /// Held by the one scan that runs. Loading takes long; `state` is held for moments only.
    private let scanning = Mutex(())

    /// - Parameters:
    ///   - ownFolder: The executable's folder, where libraries without a stamp are the build's own.
    ///   - folders: Folders in which every `lib*.so` should be a plugin.
    ///   - allowed: Which of their libraries may be loaded.
    ///   - probe: Tries the plugins of `folders` in another process before they are loaded into this one.
    ///   - isolation: Runs the plugins of `folders` in processes of their own; nil: in this one.
    public init(
        ownFolder: String? = nil, folders: [String] = [], allowed: PluginAllowance = .any,
        probe: PluginProbe? = nil, isolation: PluginIsolation? = nil, logger: Logger
    ) {
        self.ownFolder = ownFolder
        self.folders = folders
        self.allowed = allowed
        self.probe = probe
        self.isolation = isolation
        self.logger = logger
    }

    public var detectors: [LoadedDetector] { state.withLock { $0.loaded } }

    /// What the last scan refused, in the order in which it looked.
    public var refusals: [PluginRefusal] { state.withLock { $0.refusals.map(\.refusal) } }

    /// The newest one with this id: of several folders the last one's, of several versions the one that is in
    /// the folder now.
    public func detector(id: String) -> LoadedDetector? {
        state.withLock { $0.loaded.last { $0.info.id == id } }
    }

    /// The one with this id whose library has this checksum; while that is not loaded, the newest one.
    public func detector(id: String, sha256: String?) -> LoadedDetector? {
        guard let sha256 else { return detector(id: id) }
        return state.withLock { $0.loaded.last { $0.info.id == id && $0.sha256 == sha256 } }
            ?? detector(id: id)
    }

    /// Adds a detector that is linked into this process.
    public func register(_ detector: any Detector) {
        let capabilities = (try? TrialRun.run(detector)) ?? []
        state.withLock {
            $0.add(
                LoadedDetector(
                    detector: detector, info: detector.info, path: nil, sha256: "",
                    capabilities: capabilities, isIsolated: false))
        }
    }

    /// Looks for libraries that are new or have changed, and loads them. Blocks; scans run one after another.
    ///
    /// - Returns: The refusals, of this scan and those of earlier ones that still hold.
    @discardableResult
    public func rescan() -> [PluginRefusal] {
        scanning.withLock { _ in
            let before = state.withLock { $0.refusals }
            var refused: [Refused] = []
            if let ownFolder { refused += scan(ownFolder, isOwn: true, before) }
            for folder in folders where !isOwnFolder(folder) { refused += scan(folder, isOwn: false, before) }
            state.withLock { $0.refusals = refused }
            return refused.map(\.refusal)
        }
    }

    private func isOwnFolder(_ folder: String) -> Bool {
        guard let ownFolder else { return false }
        let resolved = { (path: String) in URL(filePath: path).resolvingSymlinksInPath().path }
        return resolved(folder) == resolved(ownFolder)
    }

    private func scan(_ folder: String, isOwn: Bool, _ before: [Refused]) -> [Refused] {
        let names: [String]
        if !isOwn, let reason = PluginAllowance.strangers(path: folder) {
            return [refuse(PluginRefusal(path: folder, reason: reason), before)]
        }
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            return [
                refuse(PluginRefusal(path: folder, reason: "the folder cannot be read: \(error)"), before)
            ]
        }
        return names.sorted().filter { $0.hasPrefix("lib") && $0.hasSuffix(".so") }.compactMap { name in
            let path = URL(filePath: folder).appending(path: name).path
            var digest: String?
            do {
                let file = try PluginFile(path: path)
                digest = file.sha256
                if let held = before.first(where: { $0.refusal.path == path && $0.sha256 == digest }) {
                    return held
                }
                if state.withLock({ $0.hasLoaded(file.sha256, at: path) }) { return nil }
                if !isOwn, let reason = allowed.refusal(of: file) {
                    throw PluginRefusal(path: path, reason: reason)
                }
                try load(file, isOwn: isOwn)
                return nil
            } catch ELFError.missingSection where isOwn {
                return nil
            } catch {
                let refusal = (error as? PluginRefusal) ?? PluginRefusal(path: path, reason: "\(error)")
                return refuse(refusal, sha256: digest, before)
            }
        }
    }

    /// Logs a refusal once, not with every scan.
    private func refuse(_ refusal: PluginRefusal, sha256: String? = nil, _ before: [Refused]) -> Refused {
        if !before.contains(where: { $0.refusal == refusal }) { logger.warning("\(refusal)") }
        return Refused(sha256: sha256, refusal: refusal)
    }

    private func load(_ file: PluginFile, isOwn: Bool) throws {
        let stamp = try file.checkedStamp()
        // The build's own plugins stay where they are, so that profilers and backtraces find their symbols.
        let isInPlace = isOwn && state.withLock { $0.current[file.path] == nil }
        let copy =
            isInPlace
            ? nil : try PrivateCopy(of: file, isForAnotherUser: isolation != nil && !isOwn && geteuid() == 0)
        defer { withExtendedLifetime(copy) {} }
        // The probe's process is as free as this one: what is to be confined is tried where it is.
        if let copy, !isOwn, isolation == nil { try probe?.check(copy.path, name: file.path) }
        let detector: any Detector
        if let isolation, let copy, !isOwn {
            let isolated = try IsolatedDetector(isolation, library: copy)
            for complaint in isolated.confinement.complaints {
                logger.warning(
                    "the process of a detector is not confined as it should be",
                    metadata: ["path": "\(file.path)", "what": "\(complaint)"])
            }
            detector = isolated
        } else {
            detector = try PluginLibrary.open(copy?.path ?? file.path, name: file.path, stamp: stamp)
        }
        let capabilities: Set<DetectorCapability>
        do {
            capabilities = try TrialRun.run(detector)
        } catch {
            throw PluginRefusal(path: file.path, reason: "its trial failed: \(error)")
        }
        let loaded = LoadedDetector(
            detector: detector, info: detector.info, path: file.path, sha256: file.sha256,
            capabilities: capabilities, isIsolated: detector is IsolatedDetector)
        let replaced = self.detector(id: loaded.info.id)
        state.withLock { $0.add(loaded) }
        var metadata: Logger.Metadata = ["id": "\(loaded.info.id)", "path": "\(file.path)"]
        if let path = replaced?.path { metadata["replaces"] = "\(path)" }
        logger.log(level: replaced == nil ? .debug : .notice, "detector loaded", metadata: metadata)
    }
}
