import CDetectorPlugin
import DetectorAPI
import Glibc

/// Loads a library and asks it for its detector.
enum PluginLibrary {
    /// What a plugin in plain C exports; see `detector_plugin.h`.
    static let plainEntrySymbol = "detector_plugin_c_main"

    /// Loads the library, for ever, and calls its entry function.
    ///
    /// - Parameters:
    ///   - path: What to load.
    ///   - name: What to call it in messages.
    ///   - stamp: Checked before.
    /// - Throws: `PluginRefusal`.
    static func open(_ path: String, name: String, stamp: PluginStamp) throws(PluginRefusal) -> any Detector {
        // RTLD_NOW: a missing symbol is an error here and not a crash in the middle of a batch. RTLD_LOCAL: two
        // plugins, or two versions of one, do not see each other's symbols.
        // A name without a slash would be looked for where the system's libraries are.
        guard let handle = dlopen(path.contains("/") ? path : "./\(path)", RTLD_NOW | RTLD_LOCAL) else {
            throw PluginRefusal(path: name, reason: "the loader says: \(loaderMessage())")
        }
        let entryName = stamp.isPlainC ? plainEntrySymbol : detectorPluginEntrySymbol
        guard let symbol = dlsym(handle, entryName) else {
            throw PluginRefusal(path: name, reason: "it exports no function \(entryName)")
        }
        // The stamp says which of the two types the function has.
        if stamp.isPlainC {
            typealias Entry = @convention(c) () -> UnsafePointer<detector_plugin_c>?
            guard let table = unsafeBitCast(symbol, to: Entry.self)() else {
                throw PluginRefusal(path: name, reason: "its \(entryName) gave no table")
            }
            do {
                return try PlainDetector(checking: table)
            } catch {
                throw PluginRefusal(path: name, reason: error.description)
            }
        }
        typealias Entry = @convention(c) () -> UnsafeMutableRawPointer?
        guard let pointer = unsafeBitCast(symbol, to: Entry.self)() else {
            throw PluginRefusal(path: name, reason: "its \(entryName) gave no detector")
        }
        return DetectorEntry.take(pointer).detector
    }

    private static func loaderMessage() -> String {
        // glibc: the text is the calling thread's own, valid until its next call of a dl function.
        dlerror().map { String(cString: $0) } ?? "nothing"
    }
}
